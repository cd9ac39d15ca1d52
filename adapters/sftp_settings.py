"""What is set for an organisation reached by SFTP: where its files go, and where its answers come from."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from adapters.batch_file import COLUMNS, Column
from adapters.sftp_session import Folder, ServerSettings


class SftpSettings(ServerSettings):
    """`adapter_settings` of an organisation reached by SFTP."""

    folder: Folder
    """Where files are put."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=16)] = "unwaith"
    """How their names begin."""
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=100)] = COLUMNS
    """The columns after those every file has."""
    answers: Folder | None = None
    """Where the organisation puts its files of answers: another folder, for what is not an answer is set aside there."""

    @model_validator(mode="after")
    def _keeps_them_apart(self) -> Self:
        if self.answers is not None and self.answers.strip("/") == self.folder.strip("/"):
            raise ValueError("answers must be another folder than the one files are put in")
        return self
