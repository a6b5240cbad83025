"""The driver as a script, which multiprocessing's fork server imports anew in each child.

It imports no more than it needs, and that late, so that a child has little to pay for.
"""

from __future__ import annotations

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from benchmarks.driver import main

    main()
