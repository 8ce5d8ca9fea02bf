"""A configuration as the text of one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def to_yaml(config: Mapping[str, Any]) -> str:
    """The text that `load_config` reads again, as a checkpoint keeps it."""
    return yaml.dump(dict(config), Dumper=_NoAliases, allow_unicode=True)


class _NoAliases(yaml.Dumper):
    """Writes what stands twice in a configuration twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
