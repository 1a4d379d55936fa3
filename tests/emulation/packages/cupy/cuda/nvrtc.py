"""The run-time compiler."""


class NVRTCError(RuntimeError):
    """The compiler could not be used."""


def getVersion() -> tuple[int, int]:
    return 13, 0
