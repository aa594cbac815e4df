"""What is stored: one realistic map for each size, in bytes of MessagePack. PyJWT writes the same maps as JSON."""

from typing import Any

Data = dict[str, Any]

_IDENTITY: Data = {"user_id": 1_000_042, "role": 7}

_BROWSER: Data = {
    "user_id": 1_000_042,
    "email": "ada.lovelace@example.org",
    "roles": ["reader", "editor", "billing"],
    "verified": True,
    "csrf": "4f1d0c6be2a97835" * 2,
    "device": "Firefox 128 on Linux x86-64, first seen in London, Great Britain",
}

_LOGIN: Data = _BROWSER | {"login": "passkey, renewed 2026-11-24T16:36:04Z from 192.0.2.7"}

_SHOP: Data = _BROWSER | {
    "locale": "en_GB.UTF-8",
    "timezone": "Europe/London",
    "flash": [{"level": "info", "text": "Your address was changed. Orders from now on go to 12 St James's Square."}],
    "permissions": [f"{room}.{right}" for room in ("orders", "invoices", "reports") for right in ("view", "change")],
    "cart": [
        {"sku": f"BK-{number:05}-HC", "title": title, "quantity": 1, "pence": pence}
        for number, title, pence in (
            (20417, "Sketch of the Analytical Engine, with notes by the translator", 2450),
            (31950, "On the connexion of the physical sciences, third edition", 3195),
            (40022, "Passages from the life of a philosopher, annotated", 1899),
        )
    ],
    "preferences": {"theme": "dark", "density": "compact", "newsletter": False, "page_size": 50},
    "impersonated_by": {
        "user_id": 1_000_007,
        "email": "charles.babbage@example.org",
        "reason": "ticket 55120: an order did not arrive, customer on the line.",
    },
    "return_to": "/account/orders/2026-11-24/7731?tab=delivery&from=mail",
}

PAYLOADS: dict[int, Data] = {20: _IDENTITY, 196: _BROWSER, 256: _LOGIN, 1000: _SHOP}


def updated(data: Data) -> Data:
    """Return the same with another value in it, of the same size."""
    return data | {"user_id": data["user_id"] + 1}
