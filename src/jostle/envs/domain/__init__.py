"""What drives the domain of an environment's rows: draws at resets, and results to the schedule."""

from jostle.envs.domain.driver import DomainDriver
from jostle.envs.domain.options import DOMAIN_OPTIONS, SpaceLike, asked, domain_options, off, whole_options

__all__ = ["DOMAIN_OPTIONS", "DomainDriver", "SpaceLike", "asked", "domain_options", "off", "whole_options"]
