"""Home Assistant itself, run by a test: commands come as lines of JSON, and each has a line as its answer.

It runs with the Python of an environment that has Home Assistant, and nothing of ours. Its core is the real one,
started as `hass` starts it; the MQTT integration is set up by its own dialogue. A folder has the configuration.
"""
# mypy: ignore-errors
# Home Assistant is in another environment, so nothing of it has types here.

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading

from homeassistant import bootstrap, runner
from homeassistant.components.automation import automations_with_blueprint
from homeassistant.config_entries import SOURCE_USER
from homeassistant.const import EVENT_CALL_SERVICE
from homeassistant.core import CoreState
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.helpers.template import Template


class Driver:
    """One Home Assistant; `told` are the notifications that automations made, in order."""

    def __init__(self, hass):
        self.hass = hass
        self.told = []
        hass.bus.async_listen(EVENT_CALL_SERVICE, self._called)

    async def _called(self, event):
        if event.data["domain"] == "persistent_notification" and event.data["service"] == "create":
            self.told.append(event.data["service_data"]["message"])

    async def do(self, command, /, **arguments):
        """Carries out one command; returns its answer."""
        return await getattr(self, f"do_{command}")(**arguments)

    async def do_connect(self, port):
        """Sets up the MQTT integration as a person does, unless it is set up."""
        if not self.hass.config_entries.async_entries("mqtt"):
            flow = await self.hass.config_entries.flow.async_init("mqtt", context={"source": SOURCE_USER})
            broker = {"broker": "127.0.0.1", "port": port}
            done = await self.hass.config_entries.flow.async_configure(flow["flow_id"], broker)
            assert done["type"] == "create_entry", done
        await self.hass.async_block_till_done()

    async def do_states(self):
        """Returns the state and the attributes of each entity."""
        return {
            state.entity_id: {
                "state": state.state,
                "attributes": json.loads(json.dumps(dict(state.attributes), default=str)),
            }
            for state in self.hass.states.async_all()
        }

    async def do_devices(self):
        """Returns the devices of MQTT: their names, and that by which each is reached."""
        registry = device_registry.async_get(self.hass)
        names = {entry.id: entry.name for entry in registry.devices.values()}
        return {
            entry.name: {
                "by_user": entry.name_by_user,
                "via": names.get(entry.via_device_id),
                "version": entry.sw_version,
            }
            for entry in registry.devices.values()
        }

    async def do_entities(self):
        """Returns the registered entities, also those that are disabled: who disabled each."""
        return {
            entry.entity_id: entry.disabled_by
            for entry in entity_registry.async_get(self.hass).entities.values()
            if entry.platform == "mqtt"
        }

    async def do_rename(self, device, name):
        """Gives a device the user's name."""
        registry = device_registry.async_get(self.hass)
        found = next(entry for entry in registry.devices.values() if entry.name == device)
        registry.async_update_device(found.id, name_by_user=name)

    async def do_rename_entity(self, entity_id, name, new_entity_id):
        """Gives an entity the user's name and id."""
        entity_registry.async_get(self.hass).async_update_entity(entity_id, name=name, new_entity_id=new_entity_id)

    async def do_render(self, template):
        """Renders a template."""
        return str(Template(template, self.hass).async_render(parse_result=False))

    async def do_told(self):
        """Returns the notifications so far."""
        await self.hass.async_block_till_done()
        return self.told

    async def do_automations(self, path):
        """Returns the automations that use a blueprint, with the state of each."""
        return {one: self.hass.states.get(one).state for one in automations_with_blueprint(self.hass, path)}

    async def do_stop(self):
        """Ends Home Assistant."""
        self.hass.async_create_task(self.hass.async_stop())


async def main(folder):
    """Starts Home Assistant, and carries out the lines of standard input."""
    # The user interface, and what else needs libraries that are not installed here.
    bootstrap.CRITICAL_INTEGRATIONS.clear()
    bootstrap.DEFAULT_INTEGRATIONS.clear()
    hass = await bootstrap.async_setup_hass(runner.RuntimeConfig(config_dir=folder, skip_pip=True, log_no_color=True))
    assert hass is not None, "Home Assistant did not start"
    driver, loop, lines = Driver(hass), asyncio.get_running_loop(), asyncio.Queue()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    async def carry_out():
        while hass.state is not CoreState.running:
            await asyncio.sleep(0.05)
        print(json.dumps({"started": True}), file=answers, flush=True)
        while True:
            request = json.loads(await lines.get())
            try:
                answer = {"answer": await driver.do(request.pop("do"), **request)}
            except Exception as error:  # noqa: BLE001  # whatever it is, the test has it
                answer = {"error": repr(error)}
            print(json.dumps(answer), file=answers, flush=True)

    threading.Thread(target=read, daemon=True).start()
    running = loop.create_task(hass.async_run(attach_signals=False))
    await asyncio.sleep(0)
    work = loop.create_task(carry_out())
    await running
    work.cancel()


if __name__ == "__main__":
    # What Home Assistant or a library prints is no answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    asyncio.run(main(sys.argv[1]))
