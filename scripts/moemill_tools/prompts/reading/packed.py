"""Opens files in any compression, which is recognised by their first bytes, not by their names."""
import bz2
import gzip
import io
import lzma
import zlib

from ...common import Fault, need

# Exceptions that the readers raise for damaged files.
DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)


class Zstandard(io.RawIOBase):
    """The decompressed bytes of a .zst file with any number of frames. A truncated frame is an error, which the library would not
    report."""

    def __init__(self, raw):
        try:
            self.library = need("zstandard")
        except Fault:
            raise Fault(f"{raw.name}: is packed with zstd, which needs the Python package zstandard (Debian: python3-zstandard; PyPI: "
                        f"zstandard); or unpack it first: zstd -d {raw.name}") from None
        self.raw, self.frame, self.held = raw, None, b""

    def readable(self): return True

    def readinto(self, target):
        while not self.held:
            block = self.frame.unused_data if self.frame and self.frame.eof else b""
            if self.frame and self.frame.eof: self.frame = None
            block = block or self.raw.read(1 << 14)
            if not block:
                if self.frame: raise EOFError("the file ends within a zstd frame: it is truncated")
                return 0
            try:
                self.frame = self.frame or self.library.ZstdDecompressor(max_window_size=2**31).decompressobj()
                self.held = self.frame.decompress(block)
            except self.library.ZstdError as fault:
                raise OSError(str(fault)) from None
        count = min(len(target), len(self.held))
        target[:count], self.held = self.held[:count], self.held[count:]
        return count


OPENERS = {b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw), b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile,
           b"\x28\xb5\x2f\xfd": lambda raw: io.BufferedReader(Zstandard(raw), 1 << 17)}
ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zstd")


def open_bytes(path):
    """(the compressed file, for its position; the stream of decompressed bytes)."""
    raw = open(path, "rb")
    start = raw.read(6)
    raw.seek(0)
    for magic, opener in OPENERS.items():
        if start.startswith(magic): return raw, opener(raw)
    return raw, raw
