"""Everything that may stand in a room, hang on its walls or lie on its floor."""

from vla_simulation.mjcf import SURFACE_DARK, SURFACE_GLOSSY
from vla_simulation.scenes.props import building, people, storage, vehicles
from vla_simulation.scenes.props.prop import MATERIALS, Prop

__all__ = ["CLUTTER", "FLOOR_DECORATION", "MATERIALS", "OVERHEAD", "WALL_DECORATION", "Prop"]

CLUTTER: tuple[Prop, ...] = (
    storage.rack("rack_0", 1, 1.9, ("cartons", "cartons", "totes"), "upright_blue"),
    storage.rack("rack_1", 2, 2.7, ("pallets", "wrapped", "cartons"), "upright_blue"),
    storage.rack("rack_2", 3, 1.9, ("totes", "totes", "cartons"), "upright_grey"),
    storage.rack("rack_3", 4, 2.7, ("wrapped", "cartons", "empty"), "upright_grey"),
    storage.pallet("pallet_0", "cartons", 0.9),
    storage.pallet("pallet_1", "cartons", 0.6),
    storage.pallet("pallet_2", "wrapped", 1.25, SURFACE_GLOSSY),
    storage.pallet("pallet_3", "wrapped_black", 1.0, SURFACE_DARK),
    storage.pallet("pallet_4", "sacks", 0.7),
    storage.pallet("pallet_5", "", 0.86),
    storage.carton_stack("cartons_0", 5, ((0.30, 0.20, 0.20),)),
    storage.carton_stack("cartons_1", 6, ((0.25, 0.25, 0.15), (0.20, 0.16, 0.12))),
    storage.carton_stack(
        "cartons_2", 7, ((0.20, 0.30, 0.25), (0.18, 0.24, 0.10), (0.15, 0.15, 0.1))
    ),
    storage.tote_stack("totes_0", 8, 1),
    storage.tote_stack("totes_1", 9, 2),
    storage.drum("drum_0", "drum_blue", SURFACE_GLOSSY),
    storage.drum("drum_1", "drum_black", SURFACE_DARK),
    storage.bulk_container("bulk_0"),
    storage.roll_cage("cage_0", 10),
    storage.roll_cage("cage_1", 11),
    storage.waste_bin("bin_0", "plastic_green"),
    storage.waste_bin("bin_1", "plastic_black"),
    vehicles.forklift("forklift_0", "machine_yellow"),
    vehicles.forklift("forklift_1", "machine_red"),
    vehicles.pallet_jack("jack_0", "machine_yellow"),
    vehicles.hand_truck("hand_truck_0"),
    vehicles.parked_robot("robot_0", "tote_blue"),
    people.person("person_0", "vest_yellow", "trousers", "skin", "helmet", 1.78, True),
    people.person(
        "person_1", "vest_orange", "trousers_grey", "skin_dark", "helmet_yellow", 1.68, False
    ),
    people.person("person_2", "vest_yellow", "trousers_grey", "skin_dark", "helmet", 1.86, False),
    building.concrete_column("column_0", 0.16, "hazard"),
    building.concrete_column("column_1", 0.22, "hazard_red"),
    building.steel_column("column_2"),
    building.bollard("bollard_0"),
    building.bollard("bollard_1"),
    building.traffic_cone("cone_0"),
    building.traffic_cone("cone_1"),
    building.partition("partition_0", 2.6, "partition"),
    building.partition("partition_1", 1.8, "plywood"),
    building.partition("partition_2", 2.0, "mesh_fence"),
    building.electrical_cabinet("switchboard_0"),
    building.guard_rail("rail_0", 1.4),
    building.wheel_stop("stop_0"),
)
"""What may stand in the room and collides."""

WALL_DECORATION: tuple[Prop, ...] = (
    building.roller_door("roller_door_0"),
    building.open_door("open_door_0"),
    building.window("window_0", 1.0),
    building.window("window_1", 1.7),
    building.door("door_0", "door_grey"),
    building.door("door_1", "door_green"),
    building.passage("passage_0"),
    building.notice("notice_0", "notice_blue", 1.05),
    building.notice("notice_1", "notice_yellow", 1.0),
    building.notice("notice_2", "notice_blue", 1.2),
    building.fire_point("fire_point_0"),
    building.fire_point("fire_point_1"),
    building.pipes("pipes_0", 1.8),
    building.pipes("pipes_1", 0.9),
    building.cable_tray("tray_0", 2.0),
    building.cable_tray("tray_1", 1.7),
    building.light_row("lamps_0"),
    building.light_row("lamps_1"),
)
"""What is only drawn on the walls."""

FLOOR_DECORATION: tuple[Prop, ...] = (
    building.marking("lane_0", (4.0, 0.05), ("paint_yellow", -1, 1)),
    building.marking("lane_1", (4.0, 0.05), ("paint_yellow", -1, 1)),
    building.marking("lane_2", (4.0, 0.70), ("paint_white", -1, -0.88), ("paint_white", 0.88, 1)),
    building.marking("lane_3", (4.0, 0.65), ("paint_blue", -1, -0.86), ("paint_blue", 0.86, 1)),
    building.marking("zebra_0", (0.55, 1.6), ("zebra", -1, 1)),
    building.marking("hatched_0", (0.6, 0.6), ("hatched", -1, 1)),
    building.marking("arrow_0", (0.6, 0.28), ("arrow", -1, 1)),
    building.marking("drain_0", (0.11, 2.4), ("drain", -1, 0), ("drain", 0, 1)),
    building.marking("oil_0", (0.35, 0.30), ("oil", -1, 1)),
    building.marking("oil_1", (0.55, 0.60), ("oil", -1, 1)),
    building.marking("dust_0", (0.8, 0.6), ("dust", -1, 1)),
    building.marking("puddle_0", (0.6, 0.5), ("puddle", -1, 1)),
    building.marking("tyres_0", (1.8, 0.6), ("tyre_marks", -1, 1)),
    building.marking("tyres_1", (1.6, 0.7), ("tyre_marks", -1, 1)),
)
"""What is only drawn on the floor."""

OVERHEAD: tuple[Prop, ...] = (
    building.banner("banner_0", "notice_yellow"),
    building.banner("banner_1", "hazard_red"),
    building.crane_hook("hook_0"),
    building.slung_load("load_0"),
    building.hanging_strips("strips_0"),
)
"""What hangs so low that it hides parts of a station, but not so low that a robot touches it."""
