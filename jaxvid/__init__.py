"""jaxvid: video understanding on JAX."""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Lazy, so that data workers and `import jaxvid` start neither JAX nor a decoder.
    if name == "load":
        from jaxvid.predict import load

        return load
    raise AttributeError(f"module 'jaxvid' has no attribute {name!r}")
