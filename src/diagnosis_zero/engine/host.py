"""How this process keeps memory for large tensors on the CPU: a step maps gigabytes afresh, page by page, and the pages
cost as much as part of the arithmetic (measured: ``benchmarks/NOTES.md``)."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's ``mallopt`` parameters."""
LARGEST_HEAP_BLOCK = 32 << 20
"""Larger blocks are mapped and unmapped one by one (the most that glibc allows)."""
KEPT_FREE = (2 << 30) - 1
"""Bytes of freed memory that stay with the process, for the next step."""


def keep_memory() -> None:
    """Huge pages for large tensors, and freed memory kept for the next one. Before PyTorch's first allocation; without
    effect where the C library is not glibc."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_FREE)
