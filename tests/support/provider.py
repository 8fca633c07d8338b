"""A real OpenID Connect provider, and those who sign in at it."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.javascript import NODE, PACKAGES, install_packages
from tests.support.service import DEADLINE

AUDIENCE = "https://sync.likeperson.example"
CALLBACK = "http://127.0.0.1/callback"
CLIENTS: list[dict[str, Any]] = [
    {
        "client_id": "app",
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "redirect_uris": [CALLBACK],
    },
    {
        "client_id": "job",
        "client_secret": "the secret of the job at the provider",
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
    },
]


def new_key(algorithm: str) -> dict[str, Any]:
    """A private key as JWK."""
    jwk: dict[str, Any]
    if algorithm == "RS256":
        rsa = generate_rsa_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(rsa, as_dict=True)
    elif algorithm == "ES256":
        jwk = ECAlgorithm.to_jwk(generate_ec_key(SECP256R1()), as_dict=True)
    else:
        jwk = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, "kid": secrets.token_hex(8), "use": "sig", "alg": algorithm}


@dataclass
class Provider:
    """Keeps its port, and so its name, when it is stopped and started again."""

    algorithm: str = "ES256"
    keys: list[dict[str, Any]] = field(default_factory=list)
    lifetime: int = 3600
    portal_ids: dict[str, str] = field(default_factory=dict)
    """The claim `portal_id` of access tokens, by the account that signs in."""
    port: int = 0
    _process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.keys = self.keys or [new_key(self.algorithm)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        config = {
            "port": self.port,
            "keys": self.keys,
            "algorithm": self.algorithm,
            "audience": AUDIENCE,
            "clients": CLIENTS,
            "lifetime": self.lifetime,
            "portalIds": self.portal_ids,
        }
        self._process = await asyncio.create_subprocess_exec(
            NODE,
            PACKAGES / "oidc_provider.mjs",
            json.dumps(config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            self.port = int(await self._process.stdout.readline())

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def sign_in(self, subject: str) -> dict[str, Any]:
        """Signs in by authorization code with PKCE; returns the answer of the token endpoint."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        async with httpx.AsyncClient(base_url=self.url, timeout=DEADLINE) as browser:
            response = await browser.get(
                "/auth",
                params={
                    "client_id": "app",
                    "response_type": "code",
                    "scope": "openid",
                    "redirect_uri": CALLBACK,
                    "resource": AUDIENCE,
                    "code_challenge": challenge.rstrip(b"=").decode(),
                    "code_challenge_method": "S256",
                },
            )
            while not (target := response.headers["location"]).startswith(CALLBACK):
                page = urlsplit(target)
                if page.path.startswith("/interaction/"):
                    shown = (await browser.get(page.path)).text
                    prompt = "login" if 'value="login"' in shown else "consent"
                    form = {"prompt": prompt, "login": subject, "password": "any"}
                    response = await browser.post(page.path, data=form)
                else:
                    response = await browser.get(target)
            (code,) = parse_qs(urlsplit(target).query)["code"]
            return await self._token(
                browser,
                grant_type="authorization_code",
                client_id="app",
                code=code,
                redirect_uri=CALLBACK,
                code_verifier=verifier,
            )

    async def operator_token(self) -> str:
        """Returns an access token by the client credentials grant."""
        job = CLIENTS[1]
        async with httpx.AsyncClient(base_url=self.url, timeout=DEADLINE) as http:
            answer = await self._token(
                http,
                grant_type="client_credentials",
                client_id=job["client_id"],
                client_secret=job["client_secret"],
                scope="sync:operate",
                resource=AUDIENCE,
            )
        token: str = answer["access_token"]
        return token

    async def _token(self, http: httpx.AsyncClient, **form: str) -> dict[str, Any]:
        response = await http.post("/token", data=form)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@asynccontextmanager
async def identity_provider(
    algorithm: str = "ES256", portal_ids: dict[str, str] | None = None
) -> AsyncIterator[Provider]:
    await asyncio.to_thread(install_packages)
    provider = Provider(algorithm, portal_ids=portal_ids or {})
    await provider.start()
    try:
        yield provider
    finally:
        await provider.stop()
