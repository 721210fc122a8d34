"""The connector that training begins from: a new one, or that of a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from rba.connect.settings import ConnectSettings
from rba.errors import ModelError
from rba.models import folder_of
from rba.models.connector import Connector, ConnectorConfig
from rba.models.heard import HEARD
from rba.models.load import connector_files


class Start:
    """Where training begins: token ids that are known already, hashes of texts heard already, and weights."""

    def __init__(self, settings: ConnectSettings):
        """Raises ModelError where the named checkpoint is none, or belongs to another encoder or LLM."""
        self.settings = settings
        self.state: dict[str, torch.Tensor] = {}
        self.heard = np.empty(0, np.uint64)
        if not settings.start:
            return
        folder = folder_of(settings.start)
        names, self.state = connector_files(folder)
        if (names["encoder"], names["llm"]) != (settings.encoder, settings.llm):
            fix = f"use encoder {names['encoder']} and llm {names['llm']}, or another connect.start"
            raise ModelError("this connector belongs to another encoder or LLM", settings.start, fix)
        self.config = ConnectorConfig(**names["connector"])
        if (folder / HEARD).is_file():
            self.heard = np.load(folder / HEARD)

    @property
    def token_ids(self) -> list[int]:
        """The tokens that the checkpoint's connector reads; none if training begins anew."""
        return self.state["ids_V"].tolist() if self.state else []

    def connector(self, features: int, token_ids: list[int], table_VD: torch.Tensor) -> Connector:
        """The connector to train over `token_ids`, among them all of the checkpoint's; new tokens have a bias of zero.

        The shape is that of the settings for a new one, else the checkpoint's; dropout is always the settings'.
        """
        c = self.settings.ctc
        if not self.state:
            return Connector(
                ConnectorConfig(features, c.stack, c.width, c.layers, dropout=c.dropout), token_ids, table_VD
            )
        connector = Connector(replace(self.config, dropout=c.dropout), token_ids, table_VD)
        connector.load_state_dict(self._state_over(connector))
        return connector

    def average(self, connector: Connector, share: float) -> None:
        """Give the checkpoint's weights a `share` in those of `connector`, which were trained on from them.

        What was learnt since is kept and less is forgotten: the mean of both hears better than either (WiSE-FT,
        Wortsman et al., 2022).
        """
        if share == 0:
            return
        before = self._state_over(connector)
        with torch.no_grad():
            for name, weight in connector.named_parameters():
                weight.lerp_(before[name].to(weight), share)

    def _state_over(self, connector: Connector) -> dict[str, torch.Tensor]:
        """The checkpoint's weights over the tokens of `connector`; its new tokens have a bias of zero."""
        bias_V = torch.zeros(len(connector.ids_V))
        bias_V[connector.rows(self.token_ids)] = self.state["bias_V"].float()
        return {**self.state, "bias_V": bias_V, "ids_V": connector.ids_V}
