"""Sending outboxes to the tracking server, each metric row once.

A request whose answer was lost may have been carried out. Before metric rows are sent again the history is read back,
and only what is missing goes; the rest may be repeated freely: parameters that are there are left alone, tags,
artifacts, dataset inputs and the end are set to what they are. MLflow's SQL stores, the only ones of 3.17, also refuse
to hold a row twice (its primary key is run, name, step, time and value), which covers a request that is still under way
while the history is read.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Iterator

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from ..errors import InputError
from . import outbox as outboxes
from . import server
from .outbox import Outbox, Record

VALUES = ("params", "metrics", "tags")
# Of one request: rows at most, and bytes of the log that are looked at.
ROWS, LOOK = 1000, 1 << 20
LONGEST_WAIT = 15.0
logger = logging.getLogger(__name__)
Row = tuple[str, float, int, int]


class Sender:
    """Sends records; they may be sent again after any failure."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox, self._client = outbox, MlflowClient()
        # Whether rows may be there already: what an earlier process sent last may not have been marked.
        self.uncertain = outbox.sent < outbox.written

    def send(self, records: list[Record]) -> None:
        """Sends records of VALUES together, or one of another kind; after an exception nobody knows what arrived."""
        if records[0].kind in VALUES:
            self._values(records)
        else:
            getattr(self, f"_{records[0].kind}")(records[0])

    def _values(self, records: list[Record]) -> None:
        run_id = self._outbox.run_id
        if params := _merged(records, "params", first=True):
            known = self._client.get_run(run_id).data.params
            params = {name: value for name, value in params.items() if name not in known}
        written = [row for record in records if record.kind == "metrics" for row in record.content["rows"]]
        rows = [(name, float(value), at, step) for name, value, at, step in written]
        rows = list({_identity(row): row for row in rows}.values())
        if rows and self.uncertain:
            rows = missing(self._client, run_id, rows)
        # Whatever interrupts the request, nobody knows then how far it came.
        self.uncertain = True
        tags = [RunTag(*item) for item in _merged(records, "tags").items()]
        self._client.log_batch(run_id, [Metric(*row) for row in rows], [Param(*item) for item in params.items()], tags)
        self.uncertain = False

    def _run(self, record: Record) -> None:
        """The first line names the server of the run; there is nothing to send."""

    def _files(self, record: Record) -> None:
        folder = self._outbox.files(record.content["number"])
        # It is gone where it was delivered but not marked so.
        if folder.is_dir():
            self._client.log_artifacts(self._outbox.run_id, str(folder), record.content["to"])

    def _dataset(self, record: Record) -> None:
        tag = InputTag(MLFLOW_DATASET_CONTEXT, record.content["context"])
        self._client.log_inputs(self._outbox.run_id, [DatasetInput(Dataset(**record.content["dataset"]), [tag])])

    def _end(self, record: Record) -> None:
        # An end that something follows was that of a training which went on.
        if record.end == self._outbox.written:
            self._client.set_terminated(self._outbox.run_id, record.content["status"], end_time=record.content["time"])


class Uploader:
    """A thread that sends an outbox in order, in batches, again and again while the server is away."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox, self._sender = outbox, Sender(outbox)
        self._change = threading.Condition()
        self._stop = self._hurry = False
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"outbox {outbox.run_id}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        with self._change:
            self._change.notify_all()

    def flush(self, seconds: float) -> bool:
        """Waits until everything is sent; False after `seconds`."""
        began, reported = time.monotonic(), False
        with self._change:
            self._hurry = True
            self._change.notify_all()
            while self.outbox.sent < self.outbox.written and self._thread.is_alive():
                waited = time.monotonic() - began
                if waited >= seconds:
                    self._hurry = False
                    return False
                if waited > 2 and not reported:
                    reported = True
                    print(f"Waiting up to {seconds:.0f} s for {server.address()} ...", file=sys.stderr)
                self._change.wait(min(0.5, seconds - waited))
            self._hurry = False
        return self.outbox.sent == self.outbox.written

    def close(self, *, keep: bool = False) -> bool:
        """Ends the thread, unless it hangs in a request; removes the outbox where all is sent. Returns whether it is.

        `keep`: the run still needs an end, and the outbox stays. A thread that hangs keeps the lock until its process
        ends: nobody else sends meanwhile.
        """
        with self._change:
            self._stop = True
            self._change.notify_all()
        self._thread.join(1.0)
        done = self.outbox.sent == self.outbox.written
        if not self._thread.is_alive():
            self.outbox.close(remove=done and not keep)
        return done

    def _run(self) -> None:
        wait = 0.5
        while (batch := self._next()) is not None:
            try:
                self.outbox.sync()
                self._deliver(batch)
                self.outbox.mark_sent(batch)
            except Exception as error:
                # Also where it arrived and only the mark could not be written.
                self._sender.uncertain = True
                self._report_absence(error)
                wait = self._pause(wait)
            else:
                if self.failure:
                    logger.info("%s answers again.", server.address())
                self.failure, wait = None, 0.5
                self.wake()

    def _pause(self, wait: float) -> float:
        """Waits before another attempt; returns how long the next pause is: short where somebody waits."""
        with self._change:
            if not self._hurry:
                self._change.wait_for(lambda: self._stop or self._hurry, wait)
                return min(2 * wait, LONGEST_WAIT)
            self._change.wait_for(lambda: self._stop, 0.5)
            return 0.5

    def _next(self) -> list[Record] | None:
        """The next records to send together; waits for some, None at the end."""
        with self._change:
            self._change.wait_for(lambda: self._stop or self.outbox.sent < self.outbox.written, None)
            if self._stop:
                return None
        return _batch(self.outbox.records(self.outbox.sent, LOOK))

    def _deliver(self, batch: list[Record]) -> None:
        try:
            self._sender.send(batch)
        except MlflowException as error:
            if error.get_http_status_code() not in (400, 413, 422):
                raise
            if len(batch) > 1:
                for record in batch:
                    self._deliver([record])
            else:
                logger.warning("The tracking server refuses %s: %s", batch[0].kind, server.reason(error))

    def _report_absence(self, error: Exception) -> None:
        if self.failure is None:
            logger.warning(
                "%s does not take what is logged (%s). The work goes on; it is kept in %s and sent when the server is "
                "back.", server.address(), server.reason(error), self.outbox.folder,
            )  # fmt: skip
        self.failure = error


def deliver_left(seconds: float, own: str | None = None) -> Iterator[tuple[str, bool, str]]:
    """Sends every outbox of the cache; yields run id, whether nothing of it is left here, and a message.

    An outbox that a live process writes is skipped, as is `own`, without a message. A run that died without an end
    ends as KILLED.
    """
    for run_id in outboxes.left():
        if run_id == own:
            continue
        try:
            outbox = Outbox(run_id)
        except outboxes.Busy as busy:
            yield run_id, True, f"skipped: {busy}"
            continue
        uploader, before, arrived = Uploader(outbox), outbox.records(outbox.sent), False
        try:
            arrived = uploader.flush(seconds) and _ended(uploader, seconds)
            message = f"delivered {_summary(before)}" if arrived else _remedy(uploader, seconds, uploader.failure)
        except InputError as error:
            message = str(error)
        except MlflowException as error:
            message = _remedy(uploader, seconds, error)
        finally:
            uploader.close(keep=not arrived)
        yield run_id, arrived, message


def missing(client: MlflowClient, run_id: str, rows: list[Row]) -> list[Row]:
    """The rows that the history of a run does not hold."""
    there = {
        _identity((row.key, row.value, row.timestamp, row.step))
        for name in dict.fromkeys(row[0] for row in rows)
        for row in client.get_metric_history(run_id, name)
    }
    return [row for row in rows if _identity(row) not in there]


def _ended(uploader: Uploader, seconds: float) -> bool:
    """Gives a run that has no end one, at the time of its last record; whether that arrived."""
    records = uploader.outbox.records()
    if not records or records[-1].kind == "end":
        return True
    run = server.retry(lambda: MlflowClient().get_run(uploader.outbox.run_id), "reading a run", seconds)
    if run.info.status == "RUNNING":
        uploader.outbox.put("end", status="KILLED", time=records[-1].at)
    return uploader.flush(seconds)


def _summary(records: list[Record]) -> str:
    rows = sum(len(record.content["rows"]) for record in records if record.kind == "metrics")
    artifacts = sum(record.kind == "files" for record in records)
    return f"{rows} metric rows, {artifacts} artifacts, {len(records)} records in all"


def _remedy(uploader: Uploader, seconds: float, error: Exception | None) -> str:
    """Why an outbox was not sent, and what to do where it belongs to another server."""
    reason = server.reason(error) if error else f"no answer within {seconds:.0f} s"
    origin = next((r.content["uri"] for r in uploader.outbox.records(limit=LOOK) if r.kind == "run"), None)
    address = server.address()
    message = f"not delivered to {address}: {reason}"
    if origin in (None, address):
        return message
    return f"{message} It was logged to {origin}: set MLFLOW_TRACKING_URI to that, or delete {uploader.outbox.folder}."


def _batch(records: list[Record]) -> list[Record]:
    """The first record, and as many of VALUES after it as go into one request with it."""
    batch: list[Record] = []
    rows = 0
    for record in records:
        rows += len(record.content.get("rows") or record.content.get("values") or ())
        if batch and (record.kind not in VALUES or batch[0].kind not in VALUES or rows > ROWS):
            break
        batch.append(record)
    return batch


def _merged(records: list[Record], kind: str, *, first: bool = False) -> dict[str, str]:
    """Names and values of all records of a kind; where a name comes twice the last counts, or the first."""
    mappings = [record.content["values"] for record in records if record.kind == kind]
    return {name: value for values in (reversed(mappings) if first else mappings) for name, value in values.items()}


def _identity(row: Row) -> tuple[str, float | None, int, int]:
    """A row as an SQL store holds it: infinity is the largest number; NaN, which equals nothing, is None."""
    name, value, at, step = row
    finite = min(max(value, -sys.float_info.max), sys.float_info.max)
    return name, None if math.isnan(value) else finite, at, step
