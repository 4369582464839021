"""What a node runs from its own disk, and how much of it is in the page cache."""
import ctypes
import mmap
import os
import pathlib
import shutil

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


def resident(path):
    """Bytes of it in the page cache. Looking brings in nothing."""
    size = os.path.getsize(path)
    if not size:
        return 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        address = LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        pages = (size + PAGE - 1) // PAGE
        found = ctypes.create_string_buffer(pages)
        if LIBC.mincore(address, size, found):
            raise OSError(ctypes.get_errno(), f"mincore of {path}")
        LIBC.munmap(address, size)
        return min(size, PAGE * sum(byte & 1 for byte in found.raw[:pages]))
    finally:
        os.close(descriptor)


class Program:
    """A copy of its own, as another host would have: another inode, so another place in the page cache."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def java(self, home=None):
        """A Java runtime; what only compilers need is left out."""
        home = home or pathlib.Path(shutil.which("java")).resolve().parents[1]
        self.tree(home, "java", {"src.zip", "ct.sym", "jmods", "docs", "man", "include", "legal", "demo"})
        return self.folder / "java/bin/java"

    def tree(self, source, into, leave=frozenset()):
        """With files in the place of links, as if each host had its own."""
        for folder, folders, names in os.walk(source, followlinks=True):
            folders[:] = [name for name in folders if name not in leave]
            here = self.folder / into / os.path.relpath(folder, source)
            here.mkdir(parents=True, exist_ok=True)
            for name in names:
                path = pathlib.Path(folder, name)
                if name not in leave and path.is_file():
                    shutil.copy(path, here / name)

    def files(self, sources, into):
        (self.folder / into).mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copy(source, self.folder / into)
        return self.folder / into

    def all(self):
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def settle(self):
        """Pages that are not on the disk yet cannot be dropped."""
        for path in self.all():
            with open(path, "rb") as file:
                os.fsync(file)

    def evict(self):
        for path in self.all():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def read(self):
        for path in self.all():
            with open(path, "rb") as file:
                while file.read(1 << 20):
                    pass

    def warmth(self):
        """(bytes in the page cache, bytes)."""
        paths = self.all()
        return sum(resident(path) for path in paths), sum(path.stat().st_size for path in paths)
