"""Drivers of a store on a network that break the contract when the network breaks, each in one way."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, LeaseLost, Snapshot
from tests.conformance.networked import Connection, NetworkedBackend


class OpensNothing(NetworkedBackend):
    async def open(self):
        self._connection = self._connection or self.connect()


class HasNoLimit(NetworkedBackend):
    def connect(self):
        return self.connection_class(self.host, self.port, None)


class DoesNotTranslate(NetworkedBackend):
    async def ask(self, connection=None, /, **question):
        return await (connection or self._connection).ask({"prefix": self.prefix, **question})


class IsEmptyOnAnyError(NetworkedBackend):
    async def load(self):
        try:
            return await super().load()
        except Exception:
            return Snapshot({})


class IsEmptyWithoutPermission(NetworkedBackend):
    async def load(self):
        try:
            return await super().load()
        except BackendRejected:
            return Snapshot({})


class LooksForNoPermission(NetworkedBackend):
    async def open(self):
        with suppress(BackendRejected):
            await super().open()


class RejectsForGood(NetworkedBackend):
    async def send(self, batch):
        try:
            return await super().send(batch)
        except BackendUnavailable as error:
            raise BackendRejected("no") from error


class TellsItsPassword(NetworkedBackend):
    async def ask(self, connection=None, /, **question):
        try:
            return await super().ask(connection, **question)
        except BackendUnavailable as error:
            raise BackendUnavailable(f"{error} with {self.password}") from error


class SucceedsInAnyCase(NetworkedBackend):
    async def send(self, batch):
        with suppress(BackendUnavailable):
            return await super().send(batch)
        return {}


class SucceedsWithoutAnAnswer(SucceedsInAnyCase):
    pass


class MakesItAgain(NetworkedBackend):
    async def send(self, batch):
        for _ in range(2):
            try:
                return await super().send(batch)
            except BackendUnavailable as error:
                failure = error
        raise failure


class LetsLateChangesIn(NetworkedBackend):
    async def settle(self):
        pass


class ChecksTheLeaseBefore(NetworkedBackend):
    """In a request of its own."""

    async def send(self, batch):
        if self._token and not (await self.ask(do="check", token=self._token))["is_held"]:
            raise LeaseLost("lost")
        token, self._token = self._token, ""
        try:
            return await super().send(batch)
        finally:
            self._token = token


class ChecksTheLeaseByItsClock(NetworkedBackend):
    _until = 0.0

    async def acquire_lease(self, holder, ttl):
        self._until = asyncio.get_running_loop().time() + ttl
        await super().acquire_lease(holder, ttl)

    async def send(self, batch):
        if self._token and asyncio.get_running_loop().time() > self._until:
            raise LeaseLost("lost")
        token, self._token = self._token, ""
        try:
            return await super().send(batch)
        finally:
            self._token = token


class ForgetsTheLeaseInAnOutage(NetworkedBackend):
    async def acquire_lease(self, holder, ttl):
        try:
            await super().acquire_lease(holder, ttl)
        except BackendUnavailable:
            self._token = ""
            raise


class ReleasesLate(NetworkedBackend):
    """By the token alone, which the next lease has too."""

    async def release_lease(self):
        if self._token and self._connection:
            self._epoch = (await self.ask(do="epoch", is_next=False))["epoch"]
            await self.ask(do="release", token=self._token, epoch=self._epoch)
        self._token = ""


class _KeepsIt(Connection):
    def failed(self, error):
        if not isinstance(error, asyncio.CancelledError):
            super().failed(error)


class KeepsTheConnectionOfACancelledCall(NetworkedBackend):
    connection_class = _KeepsIt


class _KeepsABroken(Connection):
    def failed(self, error):
        pass


class IsNotUsableAgain(NetworkedBackend):
    connection_class = _KeepsABroken


class LeavesItsConnectionWhenTheStoreIsAway(NetworkedBackend):
    connection_class = _KeepsABroken

    async def close(self):
        if self._connection:
            with suppress(BackendError):
                await self.ask(do="epoch", is_next=False)
                await super().close()
        self._left, self._connection = self._connection, None


class CloseWaitsForTheStore(NetworkedBackend):
    async def close(self):
        while self._connection:
            with suppress(BackendError):
                await self.ask(do="epoch", is_next=False)
                await super().close()


class LeavesATaskWhenTheStoreIsAway(NetworkedBackend):
    async def close(self):
        if self._connection:
            try:
                await self.ask(do="epoch", is_next=False)
            except BackendUnavailable:
                self._left = asyncio.create_task(asyncio.sleep(3600))
        await super().close()


class WaitsInTheEventLoop(NetworkedBackend):
    """A client that is not made for asyncio."""

    async def ask(self, connection=None, /, **question):
        if connection:
            return await super().ask(connection, **question)
        try:
            with socket.create_connection((self.host, self.port), self.timeout) as asked, asked.makefile() as answer:
                asked.sendall(json.dumps({"prefix": self.prefix, **question}).encode() + b"\n")
                return json.loads(answer.readline())
        except (OSError, ValueError) as error:
            raise BackendUnavailable("no answer") from error


class WatchNoticesNoDeath(NetworkedBackend):
    async def next_version(self, connection, known):
        connection._timeout = None
        return await super().next_version(connection, known)


class WatchHidesTheGap(NetworkedBackend):
    """It connects again without a word."""

    async def watch(self):
        connection, known = self.connect(), -1
        try:
            while True:
                try:
                    now = await self.next_version(connection, known)
                except BackendUnavailable:
                    if known == -1:
                        raise
                    with suppress(BackendUnavailable):
                        known = await self.next_version(connection, -1)
                    continue
                if now != known:
                    known = now
                    yield
        finally:
            connection.close()


class WatchYieldsForNothing(NetworkedBackend):
    async def watch(self):
        connection, known = self.connect(), -1
        try:
            while True:
                known = await self.next_version(connection, known)
                yield
        finally:
            connection.close()


class WatchYieldsInALoop(NetworkedBackend):
    async def watch(self):
        connection, known = self.connect(), -1
        try:
            while True:
                try:
                    now = await self.next_version(connection, known)
                except BackendUnavailable:
                    if known == -1:
                        raise
                    yield
                    continue
                if now != known:
                    known = now
                    yield
        finally:
            connection.close()


class WatchLeavesItsConnection(NetworkedBackend):
    def connect(self):
        self._last = super().connect()
        return self._last

    async def watch(self):
        connection, known = self.connect(), -1
        while True:
            now = await self.next_version(connection, known)
            if now != known:
                known = now
                yield


class CloseLeavesItsWatch(NetworkedBackend):
    async def close(self):
        self._watches = set()
        await super().close()
