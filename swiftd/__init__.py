"""swiftd: the back end of an application launcher, with WebAssembly components as plugins."""

__version__ = "0.1.0"
