"""An event file of scalars as TensorBoard's own writer frames and encodes it.

    target/xtask/venv-golden/bin/python crates/rarefy/tests/golden/tensorboard_events.py

Steps 0, 1, 300 and 2**40 have varints of different lengths; values are exact in f32, zero and negative ones too.
"""

from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

EVENTS = [
    (0, {"loss": 1.5}),
    (1, {"explained_variance": -0.25, "loss": 0.0}),
    (300, {"held_out/l0": 32.0}),
    (2**40, {"loss": 2.0**-30, "tag of 130 bytes " + "x" * 113: 1e30}),
]

with open(Path(__file__).with_suffix(".tfevents"), "wb") as file:
    writer = RecordWriter(file)
    writer.write(Event(wall_time=1234567890.5, file_version="brain.Event:2").SerializeToString())
    for step, scalars in EVENTS:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        event = Event(wall_time=1234567891.25 + step, step=step, summary=Summary(value=values))
        writer.write(event.SerializeToString())
