"""The work of an RQ job: answers the questions of one shard that are not in its journal yet."""

from __future__ import annotations

import asyncio

import structlog

from contract import Sentence
from orchestrator.coordination.connection import CoordinationError, connect, connect_async
from orchestrator.coordination.leases import LeaseLostError
from orchestrator.coordination.queueing import Scheduler, finish_alone
from orchestrator.coordination.waiting import (
    Word,
    waiting_for_another_try,
    waiting_for_model,
    waiting_for_room,
)
from orchestrator.errors import (
    JobCancelledError,
    JobDamagedError,
    JobNotFoundError,
    WaitingForModelError,
    WorkerStoppingError,
)
from orchestrator.jobs.journal import FULL
from orchestrator.jobs.store import JobStore
from orchestrator.replies import writable
from orchestrator.settings import Settings
from orchestrator.worker.places import places
from orchestrator.worker.stays import Stay

log = structlog.get_logger("quorum")

REDIS_TIMEOUT_S = 5.0


def answer_shard(job_id: str, shard: int) -> None:
    """The function that RQ calls.

    If it stops for any reason, the job continues later: the recovery scan enqueues open shards
    again. A job fails only if questions have no answer.
    """
    settings = Settings()
    store = JobStore(settings.data_dir)
    structlog.contextvars.bind_contextvars(job=job_id, shard=shard)
    try:
        asyncio.run(run_shard(settings, store, job_id, shard))
    except JobCancelledError:
        log.info("stopped: the job was cancelled")
    except WorkerStoppingError:
        log.info("left for another worker: this one stops")
    except LeaseLostError as error:
        log.info("left to the worker that has it", reason=str(error))
    except (JobNotFoundError, JobDamagedError) as error:
        # the job was deleted, or is shown as damaged until its file is restored
        log.error("left as it is", reason=str(error))
    except WaitingForModelError as error:
        # the worker is now free for jobs that can continue
        log.info("put back, waiting for the model", reason=str(error))
        _leave_word(settings, job_id, shard, waiting_for_model(error.sentence))
    except (CoordinationError, OSError) as error:
        log.error("left for another try", reason=str(error))
        is_full = getattr(error, "errno", None) in FULL
        waiting = waiting_for_room if is_full else waiting_for_another_try
        _leave_word(settings, job_id, shard, waiting(writable(str(error))))
        raise
    except Exception as error:
        log.exception("left for another try")
        said = writable(f"{type(error).__name__}: {error}")
        _leave_word(settings, job_id, shard, waiting_for_another_try(said))
        raise
    finally:
        structlog.contextvars.clear_contextvars()


def _leave_word(settings: Settings, job_id: str, shard: int, reason: Sentence) -> None:
    with connect(settings.redis_url, REDIS_TIMEOUT_S) as connection:
        Word(connection, job_id, shard).say(reason)


async def run_shard(settings: Settings, store: JobStore, job_id: str, shard: int) -> None:
    """Answer the open questions of one shard, and of the job's next shards as long as no other job
    waits. The last shard finishes the job.

    Raises:
        LeaseLostError: another worker has the shard.
        WaitingForModelError: the job's weights are not served, or the server was away too long.
        JobCancelledError: the job was cancelled.
        WorkerStoppingError: the worker was asked to stop, and questions in flight take too long.
    """
    if store.has_ended(job_id):
        return
    job = store.load_whole(job_id)
    if shard not in range(len(job.shards)):
        log.error("left as it is: the job has no such shard", shards=len(job.shards))
        return
    connection = connect(settings.redis_url, REDIS_TIMEOUT_S)
    if store.done_counts(job_id, shard) is None:
        async with (
            connect_async(settings.redis_url, REDIS_TIMEOUT_S) as lease_client,
            places(settings) as at,
        ):
            stay = Stay(settings, store, job, connection, lease_client, at)
            await stay.answer(shard)
    if store.open_shards(job):
        Scheduler(store, connection).see_to(job)
    else:
        finish_alone(connection, store, job)
