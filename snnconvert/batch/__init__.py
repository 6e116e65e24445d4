"""A batch: many conversions from one file; its output directory is the database, and running it again goes on."""
