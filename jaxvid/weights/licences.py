"""Uses that the licenses of published weights allow, by their SPDX names (https://spdx.org/licenses).

This sorts names, and is no legal advice. The license of weights can differ from that of the code,
and the data that they were trained on has terms of its own.
"""

from typing import Literal

PERMISSIVE = (
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "CC-BY-4.0",
    "CC0-1.0",
    "ISC",
    "MIT",
)
NON_COMMERCIAL = ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0")
UNKNOWN = "see "  # beginning of a license that names a page instead

Use = Literal["permissive", "non-commercial", "unknown"]
USES: tuple[Use, ...] = ("permissive", "non-commercial", "unknown")


def use(licence: str) -> Use:
    """Return what a license allows; "unknown" for a page, and for a name that is in no list."""
    if licence in PERMISSIVE:
        return "permissive"
    return "non-commercial" if licence in NON_COMMERCIAL else "unknown"
