#!/usr/bin/python3
"""Modbus units by pymodbus: modbus_units.py tcp PORT, or modbus_units.py rtu DEVICE. Says `ready`."""
import asyncio
import struct
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer


def block(values):
    cells = [0] * 200
    for address, value in values.items():
        cells[address] = value
    return ModbusSequentialDataBlock(0, cells)


def words(form, value):
    return struct.unpack(f">{struct.calcsize(form) // 2}H", struct.pack(form, value))


def unit(number):
    pressure_high, pressure_low = words(">f", 2.5)
    energy_high, energy_low = words(">I", 100_000 * number + 7)
    holding = {100: 213, 101: 0b0101_0001}
    for index, register in enumerate(struct.unpack(">8H", f"METER-{number}".encode().ljust(16, b"\0"))):
        holding[40 + index] = register
    return ModbusSlaveContext(
        hr=block(holding), co=block({3: 1}), di=block({}), zero_mode=True,
        ir=block({0: energy_high, 1: energy_low, 12: pressure_low, 13: pressure_high}))


async def main(kind, place):
    context = ModbusServerContext({1: unit(1), 2: unit(2)}, single=False)
    if kind == "tcp":
        server = ModbusTcpServer(context, framer=ModbusSocketFramer, address=("127.0.0.1", int(place)))
    else:
        server = ModbusSerialServer(context, framer=ModbusRtuFramer, port=place, baudrate=19200, parity="N")  # a pseudo-terminal has none
        await server.start()
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
