#!/bin/sh
echo "$(cat /etc/greeting), from an image of your own"
