"""May it start?"""
