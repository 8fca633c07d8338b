"""The product on a database of both kinds: one process for all tests, emptied between them."""

import shutil
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from app.settings import Settings
from tests.acceptance.product import Product
from tests.support.opened import clear, opened
from tests.support.postgres import PostgresCluster
from tests.support.service import DEADLINE, Service


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running_product(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """Its log must stay clean."""
    folder = tmp_path_factory.mktemp("product")
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{folder / 'likeperson.db'}"
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "likeperson.db")
    else:
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        template: str = request.getfixturevalue("postgres_template")
        url = cluster.create_database(folder.name.replace("-", "_"), template=template)
    product = Product(url, folder)
    product.start()
    yield product
    product.stop()
    assert "Traceback" not in product.log(), product.log()
    assert " ERROR " not in product.log(), product.log()


@pytest.fixture
async def product(running_product: Product) -> AsyncIterator[Product]:
    yield running_product
    async with opened(running_product.database_url) as database:
        await clear(database)


@pytest.fixture
async def service(product: Product) -> AsyncIterator[Service]:
    async with httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(product.url, http, Settings(database_url=product.database_url))
