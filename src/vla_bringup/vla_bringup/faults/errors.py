"""What can go wrong with a campaign itself."""

from vla_core.errors import VlaError


class CampaignError(VlaError):
    """The campaign cannot go on, or was asked for something that it cannot do."""


class TrialError(VlaError):
    """A trial could not be carried out: it says nothing about the node's safety."""
