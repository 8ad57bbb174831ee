"""Use every control and every answer box of the built site in Firefox: ``python -m tests.firefox``.

Not part of ``make test``: it needs Debian's firefox-esr, or ``FIREFOX=program``. Firefox itself is
driven, by its Marionette protocol: keys and clicks are the browser's own.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.browsing import APPROACH, DRAWN, PAGES, SITE, UNFOLD, served

PREFERENCES = {
    "marionette.port": 0,
    "app.update.auto": False,
    "datareporting.policy.firstRunURL": "",
}
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
RIGHT, DOWN, END, HOME, SPACE, ENTER = "\ue014", "\ue015", "\ue010", "\ue011", " ", "\ue007"
CONTROLS = ".explore .explore-control"
# What a chart shows, where its marks are going.
CHARTS = """return [...arguments[0].closest(".explore").querySelectorAll("svg.marks")]
    .map((svg) => svg.innerHTML).join("")"""


class Firefox:
    """A headless Firefox that opens pages, presses keys and clicks."""

    def __init__(self, folder):
        settings = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        Path(folder, "user.js").write_text("\n".join(settings), encoding="utf-8")
        program = shutil.which(os.environ.get("FIREFOX", "firefox-esr"))
        assert program, "this needs firefox-esr, or FIREFOX=program"
        command = [program, "--headless", "--marionette", "--no-remote", "--profile", folder]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, **quiet)
        port = Path(folder, "MarionetteActivePort")
        while not (port.exists() and port.read_text().strip()):
            assert self.process.poll() is None, "Firefox has ended"
            time.sleep(0.2)
        self.socket = socket.create_connection(("127.0.0.1", int(port.read_text())), timeout=120)
        self.stream = self.socket.makefile("rb")
        self.count = 0
        self._receive()
        session = self.call("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
        self.version = session["capabilities"]["browserVersion"]
        self.call("WebDriver:SetWindowRect", width=1280, height=950)

    def _receive(self):
        length = b""
        while not length.endswith(b":"):
            length += self.stream.read(1)
        return json.loads(self.stream.read(int(length[:-1])))

    def call(self, command, **arguments):
        """Send a command, and return what Firefox answers."""
        self.count += 1
        message = json.dumps([0, self.count, command, arguments]).encode()
        self.socket.sendall(f"{len(message)}:".encode() + message)
        _, _, error, result = self._receive()
        if error:
            raise AssertionError(f"{command} {arguments}: {error['message']}")
        return result

    def run(self, script, *arguments):
        """Run a script of the page, and return its value."""
        return self.call("WebDriver:ExecuteScript", script=script, args=list(arguments))["value"]

    def until(self, script, *arguments, seconds=15):
        """Whether a script of the page returns something true in time."""
        for _ in range(seconds * 20):
            if self.run(script, *arguments):
                return True
            time.sleep(0.05)
        return False

    def find(self, selector, within=None):
        """All elements of a selector, in the page or in an element."""
        inside = {"element": within[ELEMENT]} if within else {}
        query = {"using": "css selector", "value": selector}
        return self.call("WebDriver:FindElements", **query, **inside)

    def press(self, element, keys):
        """Press keys in an element."""
        self.call("WebDriver:ElementSendKeys", id=element[ELEMENT], text=keys)

    def click(self, element):
        """Click on an element, scrolled into the middle of the window."""
        self.run("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", element)
        self.call("WebDriver:ElementClick", id=element[ELEMENT])

    def close(self):
        """End this Firefox."""
        self.call("Marionette:Quit", flags=["eForceQuit"])
        self.process.wait(timeout=30)


def moves(firefox, control, act):
    """Whether the charts beside a control change after an action."""
    before = firefox.run(CHARTS, control)
    act()
    return firefox.until(
        f"return ({CHARTS.replace('return ', '', 1)}) !== arguments[1]", control, before
    )


def control_faults(firefox):
    """Use each control of the page; name those that move nothing, and how many were used."""
    faults, used = [], 0
    for row in firefox.find(CONTROLS):
        name = firefox.run("return arguments[0].innerText.split('\\n')[0]", row)
        acts = []
        for handle in firefox.find("input[type=range]", row):
            firefox.press(handle, HOME)
            time.sleep(0.3)
            acts += [(handle, lambda h=handle: firefox.press(h, END))]
            acts += [(handle, lambda h=handle: firefox.press(h, HOME))]
        chosen = firefox.find(".explore-options label:has(:checked)", row)
        for label in firefox.find(".explore-options label:not(:has(:checked))", row) + chosen:
            acts += [(label, lambda part=label: firefox.click(part))]
        for box in firefox.find("input[type=checkbox]", row):
            acts += [(box, lambda part=box: firefox.press(part, SPACE))] * 2
        for choice in firefox.find("select", row):
            firefox.press(choice, HOME)
            time.sleep(0.5)
            acts += [(choice, lambda part=choice: firefox.press(part, END))]
        for button in firefox.find(".explore-step, .explore-play", row)[::-1]:
            acts += [(button, lambda part=button: firefox.click(part))]
        if not acts:
            faults.append(f"{name}: a row without a control")
        for control, act in acts:
            used += 1
            if not moves(firefox, control, act):
                faults.append(
                    f"{name}: {firefox.run('return arguments[0].outerHTML', control)[:90]}"
                )
    return faults, used


FILL = """for (const box of arguments[0].querySelectorAll(".boxes input"))
        box.value = "12345";
    for (const list of arguments[0].querySelectorAll(".boxes select")) list.selectedIndex = 1;"""


def question_faults(firefox):
    """Answer each question of the page; name those that do not react, and how many there are."""
    faults = []
    questions = firefox.find(".asked")
    for question in questions:
        kind = firefox.run("return arguments[0].dataset.kind", question)
        said = "return arguments[0].querySelector('.question-status')?.textContent"
        if kind == "predict":
            for choice in firefox.find("input", question)[:1]:
                firefox.press(
                    choice,
                    RIGHT if "range" in firefox.run("return arguments[0].type", choice) else SPACE,
                )
            firefox.click(firefox.find("button", question)[0])
            said = "return arguments[0].querySelector('button[aria-expanded=true]') !== null"
        elif kind == "check":
            firefox.click(firefox.find("input", question)[0])
        elif kind == "exercise":
            firefox.run(FILL, question)
            firefox.click(firefox.find("button", question)[0])
        else:
            firefox.press(firefox.find("textarea", question)[0], "in words")
            said = "return Object.values(localStorage).some((kept) => kept.includes('in words'))"
        if not firefox.until(said, question):
            faults.append(firefox.run("return arguments[0].innerText", question)[:80])
    return faults, len(questions)


def visit(firefox, url):
    """Open a page; return what is wrong with it, and how much was tried."""
    firefox.call("WebDriver:Navigate", url=url)
    questions, asked = question_faults(firefox)
    firefox.run("localStorage.setItem('borrowing-strength.open', 'yes')")
    firefox.call("WebDriver:Navigate", url=url)
    firefox.run(UNFOLD)
    firefox.run(f"return ({APPROACH})()")
    drawn = [] if firefox.until(f"return ({DRAWN})()") else ["charts are missing"]
    controls, used = control_faults(firefox)
    # The next page asks anew.
    firefox.run("localStorage.clear()")
    return questions + drawn + controls, asked, used


def main():
    """Visit every page; the exit status says whether all went well."""
    faults = 0
    with tempfile.TemporaryDirectory() as folder, served(SITE) as address:
        firefox = Firefox(folder)
        try:
            print(f"Firefox {firefox.version}")
            for name in sys.argv[1:] or PAGES:
                wrong, asked, used = visit(firefox, f"{address}/{name}.html")
                faults += len(wrong)
                print(f"{name}: {asked} questions, {used} moves of controls, {len(wrong)} faults")
                for fault in wrong:
                    print(f"    {fault}")
        finally:
            firefox.close()
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
