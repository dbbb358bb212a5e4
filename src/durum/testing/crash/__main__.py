"""``python -m durum.testing.crash``: the process a crash test forks all others from."""

from durum.testing.crash.harness import Harness
from durum.testing.crash.serving import serve

if __name__ == "__main__":
    serve(Harness())
