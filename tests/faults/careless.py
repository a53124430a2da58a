"""Programs that write a file and are wrong in one way each, to see that the campaigns would notice.

python careless.py HOW FILE
"""

import os
import sys

NEW = b"new " * 1000


def in_place(path: str) -> None:
    """Half a file can be seen."""
    with open(path, "wb", buffering=0) as file:
        file.write(NEW[:2000])
        file.write(NEW[2000:])


def unflushed(path: str) -> None:
    """The name is there before its content is on the disk."""
    with open(f"{path}.new", "wb") as file:
        file.write(NEW)
    os.replace(f"{path}.new", path)


def folder_unflushed(path: str) -> None:
    """The new content may vanish after the program has said that it is done."""
    with open(f"{path}.new", "wb") as file:
        file.write(NEW)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)


def careful(path: str) -> None:
    """Nothing is wrong."""
    folder_unflushed(path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
    print("done")
