"""What NIR, or a profile of it, cannot say."""

import math

MOST = 2**27  # weights of one node: 512 MiB; denser forms of larger ones are refused
WHERE = "export to --to onnx, or convert a network without it"


class Inexpressible(Exception):  # noqa: N818 - a refusal with its reason, told with the node's name
    """NIR, or the profile, cannot say this: why, and what a user can do."""

    def __init__(self, reason: str, hint: str = WHERE) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


def require_room(*sizes: int) -> None:
    """Refuse weights of these sizes before memory is asked for.

    Raises:
        Inexpressible: there are more than MOST of them.
    """
    if math.prod(sizes) > MOST:
        raise Inexpressible(f"written densely, it takes {math.prod(sizes)} weights, more than {MOST}")
