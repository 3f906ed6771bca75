"""Frames of a file, a folder of images, an array or a camera; and a file to write them to."""

from aumer.video.camera import CameraSource
from aumer.video.clock import Clock
from aumer.video.digest import content_digest
from aumer.video.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, ArraySource
from aumer.video.reader import Keep, VideoReader, open_video
from aumer.video.sources import FrameSource, Source

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "ArraySource",
    "CameraSource",
    "Clock",
    "FrameSource",
    "Keep",
    "Source",
    "VideoReader",
    "content_digest",
    "open_video",
]
