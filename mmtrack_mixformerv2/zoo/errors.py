"""What can go wrong between the name of a model and its weights."""

from __future__ import annotations


class ZooError(ValueError):
    """A name, an index or a file of the zoo is not what it should be."""


class UnknownModelError(ZooError):
    """No model has this name; the message has similar ones."""


class NotHostedError(ZooError):
    """The authors publish these weights; the message says where, and which command takes them."""


class WrongFileError(ZooError):
    """A file is not the one that the index describes."""


class ArchiveError(ZooError):
    """An archive is damaged, or would write where it must not."""


# Tools report OSError and ValueError without a traceback, and some report one of them only.
class DownloadError(ZooError, OSError):
    """A file could not be downloaded; what came so far is kept."""


class OfflineError(DownloadError):
    """A download is needed, and the network was forbidden."""


class StorageError(DownloadError):
    """A disk is full, or a folder cannot be written."""
