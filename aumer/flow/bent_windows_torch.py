"""Tracking of deformable windows in many pictures at once: `aumer.flow.bent_windows` in torch.

Equations, constants and choices are those of `aumer.flow.bent_windows`. The results are equal up to
rounding, on any device with float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aumer.flow.bent_windows import STEPS, TERMS, held, judged, mean_terms, terms_of
from aumer.flow.lucas_kanade_torch import Pyramids, WindowStack, _inside, _read, gradients


@dataclass(frozen=True, eq=False)
class BentStack:
    """Deformable windows around N points in each of F pictures.

    Attributes:
        whole: the windows for translation only.
        steepest: (F, N, 2 * TERMS, S * S) float32, the derivative of a window by each coefficient,
            without effects of light.
        inverse: (F, N, 2 * TERMS, 2 * TERMS) float64, the inverse of their products.
        give: typical displacement of a window's edges by stretching and bending, px.
        region: side of the square, px, whose center gives the motion, and which rates a window.
    """

    whole: WindowStack
    steepest: Tensor
    inverse: Tensor
    give: float
    region: float

    @classmethod
    def cut(
        cls, pictures: Pyramids, points: Tensor, side: int, give: float, region: float
    ) -> BentStack:
        """Windows of `side` px, odd, around points (F, N, 2) float64 px."""
        steepest = _steepest(pictures, points, side)
        products = torch.einsum("fnap,fnbp->fnab", steepest, steepest).double()
        free = torch.from_numpy(held(give)).to(points.device)
        inverse = torch.linalg.inv_ex(products + torch.diag(free))[0]
        whole = WindowStack.cut(pictures, points, side)
        return cls(whole, steepest, inverse, give, region)

    def followed_by(self, other: BentStack) -> BentStack:
        """The windows of these pictures, then those of `other`."""
        return BentStack(
            self.whole.followed_by(other.whole),
            torch.cat([self.steepest, other.steepest]),
            torch.cat([self.inverse, other.inverse]),
            self.give,
            self.region,
        )

    def last(self, count: int) -> BentStack:
        """The windows of the last `count` >= 1 pictures."""
        kept = self.steepest[-count:], self.inverse[-count:]
        return BentStack(self.whole.last(count), *kept, self.give, self.region)

    def contrast(self) -> Tensor:
        """(F, N) the standard deviation of each region, in gray levels."""
        gray = self.whole.levels[0].gray
        return gray.flatten(2)[..., self._judged()].std(dim=2, correction=0)

    def _judged(self) -> Tensor:
        gray = self.whole.levels[0].gray
        return torch.from_numpy(judged(gray.shape[-1], self.region)).to(gray.device)

    def find(
        self, of: Tensor, pictures: Pyramids, which: Tensor, guess: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Find the windows in other pictures of the same size.

        Args:
            of: (P,) int64, for each pair, the picture of the windows.
            pictures: the pictures to search.
            which: (P,) int64, for each pair, the picture to search.
            guess: (P, N, 2) float64 px, initial positions of the windows.

        Returns:
            As `BentWindows.find`: (P, N, 2) float64 px of the regions and of the windows as a
            whole, and (P, N) float32 gray levels.
        """
        whole, misfit = self.whole.find(of, pictures, which, guess)
        gray = self.whole.levels[0].gray[of].flatten(2)
        side = self.whole.levels[0].gray.shape[-1]
        device, image = whole.device, pictures.images[0]
        terms = torch.from_numpy(terms_of(side)).to(device)
        free = torch.from_numpy(held(self.give)).to(device)
        inverse, steepest = self.inverse[of], self.steepest[of]
        at = whole + pictures.rim
        bent = whole.new_zeros(*whole.shape[:2], 2 * TERMS)
        seen, region = misfit.isfinite(), self._judged()
        for _ in range(STEPS):
            shift = torch.einsum(
                "prkc,ks->prsc", bent.view(*bent.shape[:2], TERMS, 2), terms.double()
            )
            sampled_at = at[:, :, None] + _offsets(side, device) + shift
            apart = _sampled(image, which, sampled_at) - gray
            misfit = torch.where(seen, apart[..., region].abs().mean(2), misfit)
            slope = torch.einsum("prs,prks->prk", apart, steepest).double() + free * bent
            bent = bent - torch.einsum("prkm,prm->prk", inverse, slope)
        mean = torch.from_numpy(mean_terms(side, self.region)).to(device)
        moved = torch.einsum("k,prkc->prc", mean, bent.view(*bent.shape[:2], TERMS, 2))
        return torch.where(seen[..., None], whole + moved, whole), whole, misfit


def _steepest(pictures: Pyramids, points: Tensor, side: int) -> Tensor:
    """(F, N, 2 * TERMS, S * S): the derivative of a window by each coefficient, without effects of
    light.
    """
    image = pictures.images[0]
    shape = points.shape[:2]
    which = torch.arange(shape[0], device=points.device).repeat_interleave(shape[1])
    at = _inside(image, (points + pictures.rim).flatten(0, 1), side // 2 + 1)
    wide = _read(image, which, at, side + 2)
    value = wide[:, 1:-1, 1:-1].flatten(1)
    value = (value - value.mean(1, keepdim=True))[:, None]
    terms = torch.from_numpy(terms_of(side)).to(points.device)
    along = gradients(wide).flatten(2)[:, None] * terms[:, None]
    along = along.flatten(1, 2)  # x and y alternate
    along = along - along.mean(2, keepdim=True)
    square = value.square().sum(2, keepdim=True).clamp(min=1e-6)
    along = along - (along * value).sum(2, keepdim=True) / square * value
    return along.view(*shape, 2 * TERMS, side * side)


def _offsets(side: int, device: torch.device) -> Tensor:
    """(S * S, 2) float64 px: offsets of a window's pixels from its center."""
    ends = torch.arange(side, device=device, dtype=torch.float64) - side // 2
    y, x = torch.meshgrid(ends, ends, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def _sampled(images: Tensor, which: Tensor, at: Tensor) -> Tensor:
    """(P, N, K): bilinear samples at (P, N, K, 2) px of the images (F, H, W) `which` (P,)."""
    height, width = images.shape[1:]
    x = at[..., 0].clamp(0, width - 2)
    y = at[..., 1].clamp(0, height - 2)
    left, top = x.floor(), y.floor()
    fx, fy = (x - left).float(), (y - top).float()
    first_pixel = (which[:, None, None] * height + top.long()) * width + left.long()
    flat = images.flatten()
    above = flat[first_pixel].lerp(flat[first_pixel + 1], fx)
    below = flat[first_pixel + width].lerp(flat[first_pixel + width + 1], fx)
    return above.lerp(below, fy)
