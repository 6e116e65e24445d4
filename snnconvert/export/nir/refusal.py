"""What NIR, or a profile of it, cannot say."""

WHERE = "export to --to onnx, or convert a network without it"


class Inexpressible(Exception):  # noqa: N818 - a refusal with its reason, told with the node's name
    """NIR, or the profile, cannot say this: why, and what a user can do."""

    def __init__(self, reason: str, hint: str = WHERE) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint
