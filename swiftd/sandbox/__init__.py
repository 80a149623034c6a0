"""The only package that imports wasmtime. It runs in child processes of the daemon, never in the daemon itself.

`messages` alone is shared with the daemon and imports nothing of wasmtime.
"""
