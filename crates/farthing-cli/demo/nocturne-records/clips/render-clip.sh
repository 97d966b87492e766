#!/bin/sh
# Draws moonrise.webm, the pay-per-view clip: a moon over water, a ripple for every note, and the tune that makes them.
# The clip is committed, so the build needs neither this script nor ffmpeg. Debian's ffmpeg 5 made the committed one.
set -eu
cd "$(dirname "$0")"

beat=0.55 # seconds
tune='0:C 1:C 2:C 3:D 4:E 6:D 8:C 9:E 10:D 11:D 12:C' # "Au clair de la lune": the beat and the note

# For every note: a ring that spreads over the water, a swell of the moon's halo, and the sound.
rings=0 halo=0 sound=0
for entry in $tune; do
    start="(${entry%%:*}*$beat)"
    case ${entry##*:} in
        C) hertz=523.25 bass=130.81 ;;
        D) hertz=587.33 bass=98.00 ;;
        E) hertz=659.26 bass=130.81 ;;
    esac
    age="max(T-$start,0)"
    rings="$rings+gte(T,$start)*lt(T-$start,3.6)*exp(-0.95*$age)*exp(-pow((ld(1)-10-105*$age)/(4+4*$age),2))"
    halo="$halo+gte(T,$start)*exp(-2.6*$age)"
    age="max(t-$start,0)"
    string="exp(-2.4*$age)*(sin(2*PI*$hertz*$age)+0.35*sin(4*PI*$hertz*$age)*exp(-3*$age)+0.12*sin(8*PI*$hertz*$age)*exp(-8*$age))"
    sound="$sound+gte(t,$start)*min($age*150,1)*($string+0.5*exp(-1.6*$age)*sin(2*PI*$bass*$age))"
done

horizon=196
moon_y="(118-3.2*T)"
# ld(0): distance from the moon's centre. ld(1): distance on the water, seen at an angle, from where the rings start.
# ld(2): how far below the horizon.
scene="st(0,hypot(X-320,Y-$moon_y));st(1,hypot(X-320,(Y-262)*3.4));st(2,max(Y-$horizon,0));"
sky="16+46*pow(Y/$horizon,2.2)"
glow="(74+30*min($halo,1.5))*exp(-ld(0)/52)+26*exp(-ld(0)/170)"
star="150*gt(mod(abs(sin(X*12.9898+Y*78.233))*43758.5453,1),0.9991)*lt(Y,$horizon-30)*gt(ld(0),70)*(0.62+0.38*sin(2.4*T+X))"
seas="34*exp(-(pow(X-304,2)+pow(Y-$moon_y+9,2))/260)+28*exp(-(pow(X-333,2)+pow(Y-$moon_y-3,2))/170)+24*exp(-(pow(X-312,2)+pow(Y-$moon_y-18,2))/150)"
disc="clip((43-ld(0))/1.6,0,1)"
ridge="(7+5*sin(X/71)+4*sin(X/29+1)+2*sin(X/11))*clip((abs(X-330)-60)/170,0,1.6)"
above="if(lt(Y,$horizon-$ridge),($sky+$glow+$star)*(1-$disc)+$disc*(246-$seas),11)"
# The wave pattern narrows towards the horizon as it does on a real sea.
wave="sin(2300/(ld(2)+13)-0.16*ld(2)+2.1*T+1.6*sin(X/61+0.6*T))*sin(900/(ld(2)+9)-0.05*ld(2)-1.3*T+X/43)"
path="exp(-pow((X-320+7*sin(1500/(ld(2)+10)+2.6*T))/(22+0.42*ld(2)),2))"
below="13+44*exp(-ld(2)/46)+(9+120*$path)*max($wave,0)*(0.45+0.55*exp(-ld(2)/120))+46*$path+150*($rings)*(0.6+0.4*$wave)"

ffmpeg -hide_banner -loglevel error -y \
    -f lavfi -i "color=black:s=640x360:r=24:d=9.5,format=gray12,geq=lum='16*clip($scene if(lt(Y,$horizon),$above,$below),0,255)'" \
    -f lavfi -i "aevalsrc=exprs='0.22*($sound)':s=48000:d=9.5" \
    -vf "format=gbrp12,curves=r='0/0.01 0.25/0.06 0.5/0.36 0.8/0.9 1/1':g='0/0.03 0.25/0.14 0.5/0.42 0.8/0.84 1/0.97':b='0/0.1 0.25/0.32 0.5/0.56 0.8/0.74 1/0.88',fade=t=in:d=0.4,fade=t=out:st=8.7:d=0.8,format=yuv420p" \
    -af "aecho=0.8:0.6:90|170:0.22|0.14,volume=3.2,afade=t=out:st=8.3:d=1.2" \
    -c:v libvpx-vp9 -b:v 0 -crf 45 -deadline good -cpu-used 1 -g 240 -threads 2 -flags +bitexact -fflags +bitexact -map_metadata -1 \
    -c:a libopus -ac 1 -b:a 32k \
    -metadata title='Moonrise, with ripples' moonrise.webm
