"""Why an action could not do its work, in words for the operator."""


class Error(Exception):
    """The action's own reason. Its text goes to the operator and into the journal: put no secret in it."""


class Refusal(Error):
    """The host did not do what was asked. Nothing was changed, unless `code` is "unavailable"."""

    def __init__(self, doing: str, code: str, detail: str) -> None:
        super().__init__(f"could not {doing}: {code.replace('-', ' ')}: {detail}")
        self.doing = doing
        """What was asked, such as "rotate app/db"."""
        self.code = code
        """"denied", "not-found", "conflict", "invalid" or "unavailable": spelt as in the WIT and in tests."""
        self.detail = detail
        """The host's words."""
