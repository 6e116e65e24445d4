"""What a conversion leaves behind: tables, pictures, one HTML page, and the bundle on disk."""
