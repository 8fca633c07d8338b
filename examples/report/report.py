"""All members by name, page by page, then what becomes of them, whatever happens to the connection.

python report.py http://127.0.0.1:8000/graphql TOKEN
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from gql import Client, gql
from gql.transport.exceptions import TransportConnectionFailed, TransportError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

PAGE = gql("""
    query Page($after: String) {
      members(first: 100, after: $after) {
        changeCursor
        edges { node { displayName state } }
        pageInfo { hasNextPage endCursor }
      }
    }
""")
CHANGES = """
    subscription Changes($after: ChangeCursor) {
      memberChanges(after: $after) {
        __typename
        ... on MemberChange { cursor operation member { displayName state } }
        ... on StreamHeartbeat { cursor }
        ... on ResyncRequired { reason }
      }
    }
"""


class ResyncError(Exception):
    """The stream cannot go on from where it was."""


async def whole_list(url: str, token: str) -> tuple[list[str], str]:
    """All names, and the place in the change feed before the first of them was read."""
    transport = HTTPXAsyncTransport(url=url, headers={"Authorization": f"Bearer {token}"})
    names: list[str] = []
    cursor = after = None
    async with Client(transport=transport) as session:
        while True:
            PAGE.variable_values = {"after": after}
            members = (await session.execute(PAGE))["members"]
            names += [edge["node"]["displayName"] for edge in members["edges"]]
            # What changes while the pages are read is then told once more, but never left out.
            cursor = cursor or members["changeCursor"]
            if not members["pageInfo"]["hasNextPage"]:
                return names, cursor
            after = members["pageInfo"]["endCursor"]


async def changes(url: str, token: str, cursor: str) -> AsyncIterator[dict[str, Any]]:
    """Every change after the place, once and in order. Raises ResyncError."""
    while True:
        transport = WebsocketsTransport(
            url=url.replace("http", "ws", 1),
            init_payload={"authorization": f"Bearer {token}"},
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
        )
        document = gql(CHANGES)
        document.variable_values = {"after": cursor}
        try:
            async with Client(transport=transport) as session:
                async for data in session.subscribe(document):
                    message = data["memberChanges"]
                    if message["__typename"] == "ResyncRequired":
                        raise ResyncError(message["reason"])
                    cursor = message["cursor"]
                    if message["__typename"] == "MemberChange":
                        yield message
        except (OSError, TransportConnectionFailed, TransportError):
            # Go on after the last message that came.
            await asyncio.sleep(1)


async def main(url: str, token: str) -> None:
    while True:
        names, cursor = await whole_list(url, token)
        print("members:", ", ".join(names), flush=True)
        try:
            async for change in changes(url, token, cursor):
                member = change["member"]
                print(change["operation"], member and member["displayName"], flush=True)
        except ResyncError:
            continue


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
