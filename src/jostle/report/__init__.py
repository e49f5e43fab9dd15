"""One offline page of a study, of runs, of stress tests and comparisons: the answer first, then what it stands on."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jostle.report.page import SECTIONS, write_report
    from jostle.report.section import Section

__all__ = ["SECTIONS", "Section", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jostle.report' has no attribute '{name}'")
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        from jostle.errors import ConfigError

        raise ConfigError('reports need Jinja2: pip install "jostle[lab]".') from error
    from jostle.report import page, section

    return section.Section if name == "Section" else getattr(page, name)
