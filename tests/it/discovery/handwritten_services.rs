//! Services without a .proto file, with names and versions that a generated service cannot have.

use micro_runtime::codegen::Endpoint;
use micro_runtime::descriptor::{MethodDescriptor, MethodKind, ServiceDescriptor};
use micro_runtime::{Context, Service, Status};
use micro_tests::behavior::Blob;

/// Defines service types with these methods, each of which echoes its request.
macro_rules! services {
    ($($name:ident $package:literal $service:literal $full:literal $version:literal [$($method:literal)*])*) => {$(
        pub(crate) struct $name;

        impl Service for $name {
            const SERVICE: &'static ServiceDescriptor = {
                const METHODS: &[MethodDescriptor] = &[$(
                    MethodDescriptor::new(
                        concat!($full, ".", $method),
                        $method,
                        MethodKind::Unary,
                        "behavior.v1.Blob",
                        "behavior.v1.Blob",
                    ),
                )*];
                &ServiceDescriptor::new($full, $package, $service, METHODS).version($version)
            };

            fn endpoints(self) -> Vec<Endpoint> {
                Self::SERVICE.methods.iter().map(echo_endpoint).collect()
            }
        }
    )*};
}

fn echo_endpoint(method: &'static MethodDescriptor) -> Endpoint {
    Endpoint::unary(method, &[], |_: Context, blob: Blob| async move {
        Ok::<_, Status>(blob)
    })
}

services! {
    OneGreeter "one.v1" "Greeter" "one.v1.Greeter" "1.0.0" ["Greet"]
    OtherGreeter "other.v1" "Greeter" "other.v1.Greeter" "2.0.0-rc.1+b" ["Greet"]
    Bare "" "Bare" "Bare" "1.0.0" ["Greet"]
    NoSemver "one.v1" "NoSemver" "one.v1.NoSemver" "v1" ["Greet"]
    BadName "one.v1" "Bad Name" "one.v1.Bad Name" "1.0.0" ["Greet"]
    BadMethod "one.v1" "BadMethod" "one.v1.BadMethod" "1.0.0" ["Gre.et"]
    Many "many.v1" "Many" "many.v1.Many" "1.0.0" [
        "M000" "M001" "M002" "M003" "M004" "M005" "M006" "M007" "M008" "M009" "M010" "M011"
        "M012" "M013" "M014" "M015" "M016" "M017" "M018" "M019" "M020" "M021" "M022" "M023"
        "M024" "M025" "M026" "M027" "M028" "M029" "M030" "M031" "M032" "M033" "M034" "M035"
        "M036" "M037" "M038" "M039" "M040" "M041" "M042" "M043" "M044" "M045" "M046" "M047"
        "M048" "M049" "M050" "M051" "M052" "M053" "M054" "M055" "M056" "M057" "M058" "M059"
        "M060" "M061" "M062" "M063" "M064" "M065" "M066" "M067" "M068" "M069" "M070" "M071"
        "M072" "M073" "M074" "M075" "M076" "M077" "M078" "M079" "M080" "M081" "M082" "M083"
        "M084" "M085" "M086" "M087" "M088" "M089" "M090" "M091" "M092" "M093" "M094" "M095"
        "M096" "M097" "M098" "M099" "M100" "M101" "M102" "M103" "M104" "M105" "M106" "M107"
        "M108" "M109" "M110" "M111" "M112" "M113" "M114" "M115" "M116" "M117" "M118" "M119"
        "M120" "M121" "M122" "M123" "M124" "M125" "M126" "M127" "M128" "M129" "M130" "M131"
        "M132" "M133" "M134" "M135" "M136" "M137" "M138" "M139" "M140" "M141" "M142" "M143"
        "M144" "M145" "M146" "M147" "M148" "M149" "M150" "M151" "M152" "M153" "M154" "M155"
        "M156" "M157" "M158" "M159" "M160" "M161" "M162" "M163" "M164" "M165" "M166" "M167"
        "M168" "M169" "M170" "M171" "M172" "M173" "M174" "M175" "M176" "M177" "M178" "M179"
        "M180" "M181" "M182" "M183" "M184" "M185" "M186" "M187" "M188" "M189" "M190" "M191"
        "M192" "M193" "M194" "M195" "M196" "M197" "M198" "M199"
    ]
}
