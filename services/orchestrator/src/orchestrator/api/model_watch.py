"""The result of the last check of the model server: whether it may be asked, and its weights."""

from __future__ import annotations

import asyncio

import structlog
from openai import AsyncOpenAI

from contract import Contract, ContractError, Sentence, coded
from orchestrator.api.schemas import Model
from orchestrator.errors import OtherModelServedError, QuorumError
from orchestrator.model import check_server, contract_dir, find_model, make_client
from orchestrator.settings import Settings

log = structlog.get_logger("quorum")

CHECK_TIMEOUT_S = 5.0


class ModelWatch:
    """`state` is "ok", or the reason why the server may not be asked; `served` holds the names that
    it serves.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.state: str = Sentence("not-checked", "not checked yet")
        self.served: frozenset[str] = frozenset()

    def client(self) -> AsyncOpenAI:
        """A client for `check`; the caller closes it."""
        return make_client(self._settings).with_options(timeout=CHECK_TIMEOUT_S, max_retries=0)

    async def check(self, client: AsyncOpenAI) -> None:
        try:
            model = await asyncio.to_thread(find_model, self._settings)
            not_probed = await check_server(client, model)
        except OtherModelServedError as error:
            self.found(error.sentence, error.served)
        except (QuorumError, ContractError) as error:
            self.found(error.sentence)
        else:
            self.found("ok", frozenset([model.name]), not_probed)

    def found(
        self, state: str, served: frozenset[str] = frozenset(), not_probed: str | None = None
    ) -> None:
        """Record the result of a check. `not_probed` is the reason why the probe's tokens were not
        compared.
        """
        if state != self.state:
            log.info("model server", state=state, not_probed=not_probed)
        self.state, self.served = state, served

    def model(self) -> Model:
        """The published or named model, and whether its server may be asked.

        Raises:
            WaitingForModelError: no model is published.
        """
        found = find_model(self._settings)
        contract = None if found.digest is None else Contract.load(contract_dir(self._settings))
        return Model(
            name=found.name,
            digest=found.digest,
            state=self.state,
            state_message=coded(self.state),
            contract=contract,
        )
