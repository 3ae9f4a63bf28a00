"""Writes prompts.h5 block by block, reads it back, and gives it its name."""
import errno
import os
import zlib

import h5py
import numpy as np

from ..common import begin_beside


class Disk:
    """The file below HDF5. HDF5 writes chunks late, when h5py no longer checks for errors, and crashes at the end if it could not write
    them. The first error of the system is therefore kept here for Target, and HDF5 does not see it."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDWR)
        self.at = self.end = 0
        self.fault = None

    def seek(self, offset, whence=os.SEEK_SET):
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.end}[whence]
        return self.at

    def tell(self): return self.at

    def write(self, data):
        data, done = memoryview(data), 0
        try:
            while done < len(data) and not self.fault: done += os.pwrite(self.descriptor, data[done:], self.at + done)
        except OSError as fault:
            self.fault = fault
        self.at += len(data)
        self.end = max(self.end, self.at)
        return len(data)

    def readinto(self, data):
        data, done = memoryview(data), 0
        try:
            while done < len(data) and (count := os.preadv(self.descriptor, [data[done:]], self.at + done)): done += count
        except OSError as fault:
            self.fault = self.fault or fault
        self.at += done
        return done

    def read(self, size): raise NotImplementedError  # h5py recognises a file object by this method and calls readinto

    def truncate(self, size):
        try:
            if not self.fault: os.ftruncate(self.descriptor, size)
        except OSError as fault:
            self.fault = fault
        self.end = size

    def flush(self): pass

    def settle(self):
        """Makes sure that everything is on the disk, or raises OSError."""
        if not self.fault: os.fsync(self.descriptor)
        self.check()

    def check(self):
        if self.fault: raise self.fault


class Target:
    """OUTPUT.<random>.tmp, which grows block by block, is read back, and is renamed to OUTPUT when it is complete."""

    def __init__(self, path, compression):
        self.path, self.temporary = path, begin_beside(path)
        self.disk = Disk(self.temporary)
        self.file = h5py.File(self.disk, "w")
        self.filters = {"compression": "gzip", "compression_opts": int(compression[5:])} if compression != "none" else {}
        self.rows, self.sizes = 0, {}
        self.blocks = []  # (first row, end) of the blocks as written, because blocks of this size fit into memory when they are read back
        self.sums = {}  # number of elements and CRC-32 of the data written to each dataset

    def _append(self, name, values, dtype, chunk):
        if name not in self.file:
            filters = {} if h5py.check_string_dtype(np.dtype(dtype)) else self.filters  # variable-length data is not filtered
            self.file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(chunk,), **filters)
        dataset = self.file[name]
        end = dataset.shape[0]
        dataset.resize((end + len(values),))
        if len(values): dataset[end:] = values
        self.sums[name] = end + len(values), checksum(values, self.sums.get(name, (0, 0))[1])
        self.disk.check()

    def column(self, name, values):
        if isinstance(values, list): self._append(name, np.array(values, object), h5py.string_dtype(), 1024)
        else: self._append(name, values, values.dtype, 4096)

    def packed(self, name, lengths, values):
        if name not in self.file: self._append(name + "/offsets", np.zeros(1, "u8"), "u8", 4096)
        ends = np.cumsum(lengths, dtype="u8") + np.uint64(self.sizes.get(name, 0))
        self.sizes[name] = int(ends[-1]) if len(ends) else self.sizes.get(name, 0)
        self._append(name + "/offsets", ends, "u8", 4096)
        self._append(name + "/values", values, values.dtype, 65536 if values.dtype == np.uint8 else 16384)

    def finish(self):
        """Checks that everything is on the disk and reads back as it was written, or raises OSError."""
        self.file.close()
        self.disk.settle()
        try:
            with h5py.File(self.disk, "r") as file:
                cache = file.id.get_mdc_config()
                cache.max_size = cache.initial_size  # otherwise its memory grows with the number of texts
                file.id.set_mdc_config(cache)
                for name, (length, written) in self.sums.items():
                    dataset, found = file[name], 0
                    is_text = h5py.check_string_dtype(dataset.dtype)
                    step = (1 << 20) // dataset.dtype.itemsize
                    blocks = self.blocks if is_text else [(i, i + step) for i in range(0, length, step)]
                    for first, end in blocks: found = checksum(dataset[first:end], found)
                    if len(dataset) != length or found != written: raise ValueError(f"dataset {name} differs")
        except (OSError, RuntimeError, KeyError, ValueError) as fault:
            self.disk.check()
            raise OSError(errno.EIO, f"does not read back as it was written: {fault}") from None

    def publish(self):
        os.replace(self.temporary, self.path)
        os.close(self.disk.descriptor)


def checksum(values, before):
    if values.dtype != object: return zlib.crc32(values, before)
    return zlib.crc32(b"\0".join([*(v.encode() if isinstance(v, str) else v for v in values), b""]), before)
