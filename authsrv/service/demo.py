"""placeholder"""


def run_demo() -> int:
    """Run the demonstration."""
    raise NotImplementedError
