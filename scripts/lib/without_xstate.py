#!/usr/bin/python3
"""Runs a program that is not to see the extended FPU state (AVX and what came later) of the
processes that it traces, and so makes do with that of SSE.

    without_xstate.py PROGRAM ARGUMENTS...

User-Mode Linux 6.1 has room for 2696 octets of it. A CPU with AMX has 11 008, the host's kernel
takes no less, and a guest would end with "ptrace set fp regs failed".
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO, ENODEV = 0x7FFF0000, 0x00050000, 19
PTRACE, PTRACE_GETREGSET, NT_X86_XSTATE = 101, 0x4204, 0x202
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
# Offsets in struct seccomp_data.
NUMBER, FIRST, THIRD = 0, 16, 32

FILTER = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_IF_EQUAL, 0, 5, PTRACE),
    (LOAD, 0, 0, FIRST),
    (JUMP_IF_EQUAL, 0, 3, PTRACE_GETREGSET),
    (LOAD, 0, 0, THIRD),
    (JUMP_IF_EQUAL, 0, 1, NT_X86_XSTATE),
    (RETURN, 0, 0, ERRNO | ENODEV),
    (RETURN, 0, 0, ALLOW),
]


def main():
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in FILTER)
    octets = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HP", len(FILTER), ctypes.addressof(octets)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program
    ):
        sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


main()
