"""Which process?"""
