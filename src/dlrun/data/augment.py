"""Augmentation: random shifts, rotations, zooms, shears, flips and contrasts of whole batches, on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import Mistake


@dataclass
class Augment:
    """Distorts each image of a batch in its own way; for training rows only. Pixels from outside are 0.

    Args:
        shift: largest shift, as a share of width and height.
        rotation: largest angle, in degrees, either way.
        zoom: largest change of size: 0.1 is from 0.9 to 1.1.
        shear: largest shear angle, in degrees, either way.
        flip: whether half of the images are mirrored left to right.
        contrast: largest change of the contrast about the image's mean: 0.2 is from 0.8 to 1.2.

    Raises:
        Mistake: a number out of its range.
    """

    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    flip: bool = False
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("shift", 1), ("rotation", 180), ("zoom", 0.9), ("shear", 80), ("contrast", 1)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise Mistake(f"data.augment.{name} is {value}: it must lie between 0 and {most}")

    def __call__(self, images: Tensor) -> Tensor:
        """Return (n, channels, height, width) floats distorted, by what PyTorch's generator draws."""
        if any((self.shift, self.rotation, self.zoom, self.shear, self.flip)):
            grid = F.affine_grid(self._matrices(images), list(images.shape), align_corners=False)
            images = F.grid_sample(images, grid, align_corners=False)
        if self.contrast:
            factor = 1 + self._draw(images, self.contrast).view(-1, 1, 1, 1)
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = ((images - mean) * factor + mean).clamp(0, 1)
        return images

    def _matrices(self, images: Tensor) -> Tensor:
        """Return (n, 2, 3): where in the image each pixel of the result comes from, in units of half its size."""
        angle = self._draw(images, math.radians(self.rotation))
        shear = self._draw(images, math.radians(self.shear))
        size = 1 + self._draw(images, self.zoom)
        mirror = torch.ones_like(angle)
        if self.flip:
            mirror = 1 - 2 * torch.randint(0, 2, angle.shape, device=angle.device).to(angle.dtype)
        tall = images.shape[2] / images.shape[3]  # so that a rotation of an oblong image is no distortion
        rows = [
            torch.stack([mirror * angle.cos() / size, -torch.sin(angle + shear) * tall / size, self._shifts(images)]),
            torch.stack([mirror * angle.sin() / tall / size, torch.cos(angle + shear) / size, self._shifts(images)]),
        ]
        return torch.stack(rows).permute(2, 0, 1)

    def _shifts(self, images: Tensor) -> Tensor:
        return self._draw(images, 2 * self.shift)

    @staticmethod
    def _draw(images: Tensor, most: float) -> Tensor:
        """Return (n,) uniform from −most to most."""
        return (2 * torch.rand(len(images), device=images.device, dtype=images.dtype) - 1) * most
