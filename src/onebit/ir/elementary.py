"""float32 ``exp``, ``tanh`` and ``erf`` as fixed sequences of separately rounded operations.

The interpreter and the engine both compute exactly these steps, in this order: additions, subtractions,
multiplications, one division (:func:`tanh`), comparisons, and bit operations on the 32-bit pattern. Nothing is fused.
Each step below is one IEEE-754 operation rounded to nearest even, so the result is the same bits everywhere.

Every constant is an exact float32; its hexadecimal form stands beside it. Lines of the form ``p = p * r + C`` are two
operations: the product is rounded, then the sum.

Each result is the correctly rounded value or a neighbour of it (``tests/ir`` samples all exponents).
"""

from __future__ import annotations

import numpy as np

F = np.float32

# exp
EXP_LOW = F(-104.0)  # -0x1.ap+6; exp rounds to 0 from here down
EXP_HIGH = F(89.0)  # 0x1.64p+6; exp rounds to +inf from here up
LOG2_E = F(1.4426950216293335)  # 0x1.715476p+0
ROUND = F(12582912.0)  # 0x1.8p+23; (t + ROUND) - ROUND is t rounded half-even to an integer, for |t| < 2^22
LN2_HIGH = F(0.693145751953125)  # 0x1.62e4p-1; 15 significant bits, so that n * LN2_HIGH is exact
LN2_LOW = F(1.428606765330187e-06)  # 0x1.7f7d1cp-20
EXP_C2 = F(0.5)  # 0x1p-1
EXP_C3 = F(0.1666666716337204)  # 0x1.555556p-3
EXP_C4 = F(0.0416666679084301)  # 0x1.555556p-5
EXP_C5 = F(0.008333333767950535)  # 0x1.111112p-7
EXP_C6 = F(0.0013888889225199819)  # 0x1.6c16c2p-10
EXP_C7 = F(0.00019841270113829523)  # 0x1.a01a02p-13

# tanh
TANH_SPLIT = F(0.625)  # 0x1.4p-1
TANH_C0 = F(-0.3333333134651184)  # -0x1.555554p-2
TANH_C1 = F(0.13333210349082947)  # 0x1.11106cp-3
TANH_C2 = F(-0.05394720286130905)  # -0x1.b9ef7cp-5
TANH_C3 = F(0.0217029619961977)  # 0x1.6394d2p-6
TANH_C4 = F(-0.00818265974521637)  # -0x1.0c212p-7
TANH_C5 = F(0.0021475234534591436)  # 0x1.197aeep-9

# erf, near zero
ERF_SPLIT = F(0.875)  # 0x1.cp-1
ERF_C0 = F(0.12837916612625122)  # 0x1.06eba8p-3
ERF_C1 = F(-0.37612634897232056)  # -0x1.812744p-2
ERF_C2 = F(0.11283736675977707)  # 0x1.ce2e8ep-4
ERF_C3 = F(-0.026861773803830147)  # -0x1.b81a72p-6
ERF_C4 = F(0.005207219161093235)  # 0x1.5542a4p-8
ERF_C5 = F(-0.0008216546266339719)  # -0x1.aec89ep-11
ERF_C6 = F(8.698962483322248e-05)  # 0x1.6cdc66p-14

# log(erfc(a)) for a in [0.875, 4]
ERF_HIGH = F(4.0)  # 0x1p+2; erf rounds to 1 from here up
ERFC_C0 = F(0.00016358765424229205)  # 0x1.571174p-13
ERFC_C1 = F(-1.1294611692428589)  # -0x1.21245ep+0
ERFC_C2 = F(-0.6334564685821533)  # -0x1.445468p-1
ERFC_C3 = F(-0.10815875977277756)  # -0x1.bb04aep-4
ERFC_C4 = F(0.02504054084420204)  # 0x1.9a43a4p-6
ERFC_C5 = F(-0.0041409689001739025)  # -0x1.0f61eep-8
ERFC_C6 = F(0.0004282285808585584)  # 0x1.c107bcp-12
ERFC_C7 = F(-2.055429467873182e-05)  # -0x1.58d806p-16

ZERO, ONE, TWO = F(0.0), F(1.0), F(2.0)
SIGN_BIT = np.uint32(0x80000000)
OTHER_BITS = np.uint32(0x7FFFFFFF)


def _power_of_two(k: np.ndarray) -> np.ndarray:
    """``2**k`` for int32 ``k`` in -126..127, from its bits: ``(k + 127) << 23``."""
    return ((k + np.int32(127)) << np.int32(23)).astype(np.int32).view(np.float32)


def _magnitude(x: np.ndarray) -> np.ndarray:
    return (x.view(np.uint32) & OTHER_BITS).view(np.float32)


def _with_sign_of(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``y`` (sign bit clear) with the sign bit of ``x`` set into it; -0.0 and negative infinity included."""
    return (y.view(np.uint32) | (x.view(np.uint32) & SIGN_BIT)).view(np.float32)


def _as_float32(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=np.float32)


def exp(x: np.ndarray) -> np.ndarray:
    """``e**x`` for float32 ``x`` of any shape; NaN stays NaN, -inf gives +0, underflow is gradual.

    1. ``c = x``; NaN becomes 0; below EXP_LOW becomes EXP_LOW; above EXP_HIGH becomes EXP_HIGH.
    2. ``n = (c * LOG2_E + ROUND) - ROUND``: three operations; ``n`` is an integer in -150..128.
    3. ``r = (c - n * LN2_HIGH) - n * LN2_LOW``.
    4. Horner from C7 down to C2; then ``p = p * r``, ``p = p * r``, ``p = p + r``, ``p = p + 1``.
    5. ``k = int(n)``, ``half = k >> 1`` (arithmetic shift, toward minus infinity),
       ``y = (p * 2**half) * 2**(k - half)``. Both powers are normal numbers and the first product is exact; the second
       rounds once, to a denormal, to zero or to infinity where it must.
    6. NaN where ``x`` is NaN.

    Example:
        >>> exp(np.float32([0.0, 1.0, -np.inf]))
        array([1.       , 2.7182817, 0.       ], dtype=float32)
    """
    x = _as_float32(x)
    with np.errstate(all="ignore"):
        is_number = x == x
        c = np.where(is_number, x, ZERO)
        c = np.where(c < EXP_LOW, EXP_LOW, c)
        c = np.where(c > EXP_HIGH, EXP_HIGH, c)
        n = c * LOG2_E
        n = n + ROUND
        n = n - ROUND
        r = c - n * LN2_HIGH
        r = r - n * LN2_LOW
        p = EXP_C7 * r + EXP_C6
        p = p * r + EXP_C5
        p = p * r + EXP_C4
        p = p * r + EXP_C3
        p = p * r + EXP_C2
        p = p * r
        p = p * r
        p = p + r
        p = p + ONE
        k = n.astype(np.int32)
        half = k >> np.int32(1)
        y = p * _power_of_two(half)
        y = y * _power_of_two(k - half)
        return np.where(is_number, y, x)


def tanh(x: np.ndarray) -> np.ndarray:
    """``tanh(x)`` for float32 ``x`` of any shape; odd to the bit, tanh(-0.0) is -0.0.

    With ``a = |x|`` (sign bit cleared):

    - where ``a < TANH_SPLIT``: ``z = a * a``; Horner from C5 down to C0 in ``z``; ``p = p * z``; ``p = p * a``;
      ``y = a + p``;
    - else: ``e = exp(a + a)``; ``e = e + 1``; ``q = 2 / e``; ``y = 1 - q``.

    The sign bit of ``x`` is then set into ``y``; NaN where ``x`` is NaN. (Both branches may be computed everywhere:
    what is not taken is dropped.)

    Example:
        >>> tanh(np.float32([0.5, -np.inf]))
        array([ 0.46211717, -1.        ], dtype=float32)
    """
    x = _as_float32(x)
    with np.errstate(all="ignore"):
        a = _magnitude(x)
        z = a * a
        p = TANH_C5 * z + TANH_C4
        p = p * z + TANH_C3
        p = p * z + TANH_C2
        p = p * z + TANH_C1
        p = p * z + TANH_C0
        p = p * z
        p = p * a
        near = a + p
        e = exp(a + a)
        e = e + ONE
        q = TWO / e
        far = ONE - q
        y = np.where(a < TANH_SPLIT, near, far)
        y = _with_sign_of(y, x)
        return np.where(x == x, y, x)


def erf(x: np.ndarray) -> np.ndarray:
    """The error function for float32 ``x`` of any shape; odd to the bit, erf(-0.0) is -0.0.

    With ``a = |x|`` (sign bit cleared):

    - where ``a < ERF_SPLIT``: ``z = a * a``; Horner from ERF_C6 down to ERF_C0 in ``z``; ``p = p * a``;
      ``y = a + p``;
    - else: ``b = a if a < ERF_HIGH else ERF_HIGH`` (so NaN becomes ERF_HIGH); Horner from ERFC_C7 down to ERFC_C0
      in ``b``; ``q = exp(p)``; ``y = 1 - q``.

    The sign bit of ``x`` is then set into ``y``; NaN where ``x`` is NaN. (Both branches may be computed everywhere:
    what is not taken is dropped.)

    Example:
        >>> erf(np.float32([0.5, -np.inf]))
        array([ 0.5204999, -1.       ], dtype=float32)
    """
    x = _as_float32(x)
    with np.errstate(all="ignore"):
        a = _magnitude(x)
        z = a * a
        p = ERF_C6 * z + ERF_C5
        p = p * z + ERF_C4
        p = p * z + ERF_C3
        p = p * z + ERF_C2
        p = p * z + ERF_C1
        p = p * z + ERF_C0
        p = p * a
        near = a + p
        b = np.where(a < ERF_HIGH, a, ERF_HIGH)
        p = ERFC_C7 * b + ERFC_C6
        p = p * b + ERFC_C5
        p = p * b + ERFC_C4
        p = p * b + ERFC_C3
        p = p * b + ERFC_C2
        p = p * b + ERFC_C1
        p = p * b + ERFC_C0
        q = exp(p)
        far = ONE - q
        y = np.where(a < ERF_SPLIT, near, far)
        y = _with_sign_of(y, x)
        return np.where(x == x, y, x)
