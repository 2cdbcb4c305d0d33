"""Headless Chromium for the tests: start it, look at it, end it.

    with browser() as driver:
        driver.get(url)
        wait_for(driver, "return document.title === 'x'")
        screenshot(driver, "x.png")
"""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from relay import PATIENCE

OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu",
    "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--no-first-run", "--proxy-server=direct://", "--hide-scrollbars",
    # A page that is not in front must still draw and keep its timers.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMEDRIVER = os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")


def trust(home, ca):
    """Makes the browsers of a home directory trust an authority: a file."""
    database = "sql:" + os.path.join(home, ".pki/nssdb")
    os.makedirs(database[4:])
    for more in (["-N", "--empty-password"],
                 ["-A", "-n", "tests", "-t", "C,,", "-i", str(ca)]):
        subprocess.run(["certutil", "-d", database, *more], check=True)


def start_browser(width=1280, height=800, dark=False, ca=None, options=()):
    """A driver with a profile of its own, which trusts ca; end it with
    stop_browser(). The options are Chromium's."""
    profile = tempfile.mkdtemp(prefix="chromium-")
    environment = None
    if ca:
        trust(profile, ca)
        environment = {**os.environ, "HOME": profile}
    asked = webdriver.ChromeOptions()
    asked.binary_location = CHROMIUM
    for option in (*OPTIONS, *options):
        asked.add_argument(option)
    asked.add_argument("--user-data-dir=" + profile)
    asked.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        driver = webdriver.Chrome(
            service=Service(CHROMEDRIVER, env=environment), options=asked)
    except BaseException:
        shutil.rmtree(profile, ignore_errors=True)
        raise
    driver.profile_to_remove = profile
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(30)
    resize(driver, width, height)
    colour_scheme(driver, dark)
    return driver


def stop_browser(driver):
    try:
        driver.quit()
    finally:
        shutil.rmtree(driver.profile_to_remove, ignore_errors=True)


@contextlib.contextmanager
def browser(**how):
    driver = start_browser(**how)
    try:
        yield driver
    finally:
        stop_browser(driver)


def resize(driver, width, height):
    """The page's own size; a window could not be as narrow as a telephone."""
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 1,
        "mobile": width < 500})


def colour_scheme(driver, dark):
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
    ]})


def screenshot(driver, path):
    if not driver.save_screenshot(str(path)):
        raise OSError("no screenshot at %s" % path)


def wait_for(driver, script, timeout=PATIENCE, *arguments):
    """Waits until the script returns something true, and returns it."""
    end = time.monotonic() + timeout
    while True:
        value = driver.execute_script(script, *arguments)
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("not true in %g s: %s" % (timeout, script))
        time.sleep(0.02)


def errors(driver):
    """What the console has to say that is worse than a warning."""
    return [entry["message"] for entry in driver.get_log("browser")
            if entry["level"] == "SEVERE"]
