"""The method of `aumer.motion.windows` in torch, for many frames at once on a GPU.

A single window is too little work for a GPU, so frames are collected, and all pairs of a batch are
measured together. Results do not depend on the batches, and equal those of `WindowMotion` up to
rounding. The path is computed on the CPU, once for a run.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aumer.config import MotionSettings
from aumer.flow.bent_windows_torch import BentStack
from aumer.flow.lucas_kanade_torch import Pyramids, WindowStack
from aumer.graph.rois import roi_set
from aumer.learning.machine import device_of
from aumer.motion.rigid import _ROUNDS, _SOFT
from aumer.motion.windows import (
    _ASTRAY,
    _GIVE,
    _HEAD,
    _LEAST_LOST,
    _LEAST_MISFIT,
    _LEVELS,
    _LOST,
    _MISFIT,
    _POWER,
    _REGION,
    _REST,
    _RIDGE,
    _SIDE,
    _TURNS,
    Array,
    _backs,
    _basis_at,
    _cut,
    _eyes,
    _head_at,
    _head_basis,
    _head_shares,
    _Shift,
    _side,
    _steps,
)
from aumer.types import FloatArray, ImageArray


@dataclass(frozen=True, eq=False)
class _Sights:
    """F consecutive frames: the data of `aumer.motion.windows._Sight` for each.

    Shapes: at (F, R, 2) px of the crop, positions of the ROIs; basis (F, R, 2, 6), their motion per
    unit of head motion; limits (F, R) and head_limit (F,), gray levels. Everything except pictures
    is float64.
    """

    rois: BentStack
    head: WindowStack
    at: Tensor
    basis: Tensor
    limits: Tensor
    head_limit: Tensor

    def followed_by(self, other: _Sights) -> _Sights:
        return _Sights(
            self.rois.followed_by(other.rois),
            self.head.followed_by(other.head),
            torch.cat([self.at, other.at]),
            torch.cat([self.basis, other.basis]),
            torch.cat([self.limits, other.limits]),
            torch.cat([self.head_limit, other.head_limit]),
        )

    def last(self, count: int) -> _Sights:
        return _Sights(
            self.rois.last(count),
            self.head.last(count),
            self.at[-count:],
            self.basis[-count:],
            self.limits[-count:],
            self.head_limit[-count:],
        )


class TorchWindowMotion:
    """The motion of one face in one run. Interface: `aumer.motion.runs.RunMotion`.

    Args:
        device: torch device; by default CUDA if available.
        batch: frames measured together; the default depends on the device. Affects results only by
            rounding.
    """

    def __init__(
        self,
        pool: Executor,
        settings: MotionSettings,
        *,
        device: str | torch.device | None = None,
        batch: int | None = None,
    ) -> None:
        self._pool, self._settings = pool, settings
        # Chosen when a run begins, since checking CUDA at import would start the driver.
        self._device = device_of("auto") if device is None else torch.device(device)
        # A GPU needs many windows; a CPU's caches hold only few.
        self._batch = batch or (16 if self._device.type == "cpu" else 64)
        self._rois = list(roi_set(settings.rois).landmarks)
        self._shares = torch.from_numpy(_head_shares(self._rois)).to(self._device)
        self._backs = _backs(settings.rate)
        self._eyes = 0
        self._count = 0
        self._held: list[tuple[FloatArray, Array]] = []
        # The last frames, for matching with later ones.
        self._sights: _Sights | None = None
        self._measured: list[Future[list[_Shift]]] = []

    def add(self, image: ImageArray, landmarks: FloatArray) -> None:
        self._eyes = self._eyes or _eyes(landmarks)
        self._held.append(_cut(image, landmarks, self._rois, self._eyes))
        self._count += 1
        if len(self._held) >= self._batch:
            self._submit()

    def steps(self) -> tuple[FloatArray, FloatArray]:
        if self._held:
            self._submit()
        shifts = [shift for task in self._measured for shift in task.result()]
        scale = self._settings.crop / 2 / self._eyes if self._eyes else 1.0
        return _steps(self._count, len(self._rois), shifts, scale)

    def _submit(self) -> None:
        held, self._held = self._held, []
        # A task only waits for the previous one, which the pool started before.
        before = self._measured[-1] if self._measured else None
        first = self._count - len(held)
        self._measured.append(self._pool.submit(self._measure, held, first, before))
        if len(self._measured) > 2:  # bounds the pool's queue
            self._measured[-2].result()

    def _measure(
        self, held: list[tuple[FloatArray, Array]], first: int, before: Future[list[_Shift]] | None
    ) -> list[_Shift]:
        """The motion to each of these frames, from number `first` on, from those before."""
        if before is not None:
            before.result()
        with torch.inference_mode():
            images = torch.from_numpy(np.stack([crop for crop, _ in held])).to(self._device)
            pictures = Pyramids(images, _LEVELS, _side(_HEAD, self._eyes) // 2)
            sights = _seen(pictures, np.stack([at for _, at in held]), self._eyes)
            if self._sights is not None:
                sights = self._sights.followed_by(sights)
            self._sights = sights.last(max(self._backs))
            return self._shifts(sights, pictures, first)

    def _shifts(self, sights: _Sights, pictures: Pyramids, first: int) -> list[_Shift]:
        """Shifts from frames to pictures, which belong to the last frames, beginning with
        `first`.
        """
        new = len(pictures.images[0])
        pairs = [(k - b, k) for k in range(first, first + new) for b in self._backs if b <= k]
        if not pairs:
            return []
        # Convert indices in the run to indices of the stored frames.
        places = np.array(pairs) - (first + new - len(sights.at), first)
        before, into = torch.from_numpy(places).to(self._device).unbind(1)
        at = sights.at[-new:]
        turns, apart = _turns(sights, pictures, before, into, self._eyes, self._shares)
        one_face = apart[:, 0] * (self._settings.crop / 2) <= (
            self._settings.max_head_residual * self._eyes
        )
        location, weight = _found(sights, pictures, before, into, at[into], self._eyes)
        carried = torch.einsum("prik,prk->pri", sights.basis[before], turns[:, 1:])
        motion = location - sights.at[before] - carried
        found = (part.cpu().numpy() for part in (motion, weight, one_face))
        return [
            _Shift(earlier, later, moved, known)
            for (earlier, later), moved, known, good in zip(pairs, *found, strict=True)
            if good
        ]


def _seen(pictures: Pyramids, at: Array, eyes: int) -> _Sights:
    """The `_Sights` of pictures with ROIs at (F, R, 2) px."""
    device = pictures.images[0].device
    points = torch.from_numpy(at).to(device)
    basis = np.stack([_basis_at(2 * eyes, places) for places in at])
    side, give, region = _side(_SIDE, eyes), _GIVE * eyes, _REGION * eyes
    rois = BentStack.cut(pictures, points, side, give, region)
    head = torch.from_numpy(_head_at(eyes)).to(device).expand(len(at), -1, -1)
    around = WindowStack.cut(pictures, head, _side(_HEAD, eyes))
    limits = (_MISFIT * rois.contrast().double()).clamp(min=_LEAST_MISFIT)
    head_limit = _LOST * around.contrast().double().mean(1) + _LEAST_LOST
    return _Sights(rois, around, points, torch.from_numpy(basis).to(device), limits, head_limit)


def _turns(
    sights: _Sights, pictures: Pyramids, before: Tensor, into: Tensor, eyes: int, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """The head's motion (P, S, 6) from frames to pictures by S shares (S, N) of its points, and the
    median misfits (P, S) px: infinite if too little of the head is visible.
    """
    device = before.device
    points = torch.from_numpy(_head_at(eyes)).to(device)
    moved, misfit = sights.head.find(before, pictures, into, points.expand(len(before), -1, -1))
    good = misfit.isfinite()
    basis = torch.from_numpy(_head_basis(2 * eyes)).to(device)
    ridge = torch.from_numpy(_RIDGE).to(device)
    turns, apart = _fit_rigid(basis, moved - points, good, ridge, _TURNS * eyes, shares)
    seen = good.sum(1)
    differ = torch.where(good, misfit, 0.0).double().sum(1) / seen.clamp(min=1)
    lost = (2 * seen < len(points)) | (differ > sights.head_limit[before])
    return turns, torch.where(lost[:, None], torch.inf, apart)


def _fit_rigid(
    basis: Tensor, motion: Tensor, good: Tensor, ridge: Tensor, small: float, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """`aumer.motion.rigid.fit_rigid` for each pair's good points, with rotations below `small` px
    penalized.

    Shapes: basis (N, 2, 6); motion (P, N, 2); good (P, N) bool; ridge (6,); shares (S, N); returns
    (P, S, 6) and (P, S), which is infinite without good points.
    """
    pairs, fits = len(motion), len(shares)
    count = good.sum(1)
    known = count.clamp(min=1)[:, None, None]
    out_of_plane = torch.arange(6, device=ridge.device) > 3
    # No penalty of rotations at first.
    found = motion.new_full((pairs, fits, 6), torch.inf)
    middles = torch.stack([(count - 1).clamp(min=0) // 2, count // 2], 1)
    middles = middles[:, None].expand(-1, fits, -1)
    seen = good[:, None].expand(-1, fits, -1)
    weight = seen.double()
    for _ in range(_ROUNDS):
        turned = found[..., 4:].square().sum(-1, keepdim=True) / small**2
        resting = 1 / (1 + turned)
        held = torch.diag_embed(known * (ridge + _REST * resting * out_of_plane))
        heard = weight * (1 - resting * (1 - shares))
        weighted = heard[..., None, None] * basis
        normal = torch.einsum("psnia,nib->psab", weighted, basis) + held
        right = torch.einsum("psnia,pni->psa", weighted, motion)
        found = torch.linalg.solve_ex(normal, right)[0]
        rest = motion[:, None] - torch.einsum("nia,psa->psni", basis, found)
        misfit = torch.where(seen, torch.hypot(*rest.unbind(-1)), torch.inf)
        median = misfit.sort(-1).values.gather(-1, middles).mean(-1)
        # NaN is infinity / infinity, without good points.
        apart = misfit / (1.48 * median + _SOFT)[..., None]
        weight = torch.where(seen, (1 + apart.square()) ** -_POWER, 0.0)
    return found, median


def _found(
    sights: _Sights, pictures: Pyramids, before: Tensor, into: Tensor, at: Tensor, eyes: int
) -> tuple[Tensor, Tensor]:
    """Positions of frames' ROIs in pictures (P, R, 2) px, searched around `at`, and weights (P, R).

    See `WindowMotion._found`.
    """
    moved, whole, misfit = sights.rois.find(before, pictures, into, at)
    astray = torch.hypot(*(moved - whole).unbind(-1)) > _ASTRAY * eyes
    # Lost windows have infinite misfit and weight 0.
    weight = 1 / (1 + (misfit.double() / sights.limits[before]) ** 4)
    moved = torch.where(astray[..., None], whole, moved)
    return moved, torch.where(astray, 0.5 * weight, weight)
