"""When something is on the screen, by the page's own clock."""

from typing import Any

from playwright.sync_api import Page

from tests.console.service import ConsoleService

# Resolves with the time at which the row of the member is painted with the text in it.
WATCH = """
([id, text]) => {
  window.shownAt = new Promise((resolve) => {
    const watch = new MutationObserver(look);
    function look() {
      const row = document.querySelector(`tr[data-id="${id}"]`);
      if (!row?.innerText.includes(text)) return;
      watch.disconnect();
      requestAnimationFrame(() => resolve(Date.now()));
    }
    watch.observe(document.body, { subtree: true, childList: true, characterData: true });
  });
}
"""


def seconds_until_shown(
    page: Page, service: ConsoleService, member_id: str, text: str, event: dict[str, Any]
) -> float:
    """From just before the portal sends the event until its text is in the member's row."""
    page.evaluate(WATCH, [member_id, text])
    begun: float = page.evaluate("Date.now()")
    service.tell(event)
    shown: float = page.evaluate("window.shownAt")
    return (shown - begun) / 1000
