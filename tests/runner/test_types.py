from offhook import kit
from offhook.runner import types


def test_the_known_path_gives_the_kits_own_classes():
    for name in types.__all__:
        assert getattr(types, name) is getattr(kit, name)
