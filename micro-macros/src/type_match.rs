//! Recognizes types of the contract in a signature, by their single-word names.
//!
//! Paths, aliases and renamed imports are not recognized and not checked: a macro cannot resolve them,
//! and rustc reports a wrong one.

use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Ident, PatType, PathArguments, PathSegment,
    Receiver, Signature, Type, TypeParamBound,
};

use crate::model::Handler;
use crate::table::{Message, Rpc};

/// Names of the runtime's types; a message of such a name is not recognized.
const RUNTIME_TYPE_NAMES: [&str; 5] = ["Context", "Streaming", "Result", "Status", "ReplyStream"];

pub(crate) fn is_context(ty: &Type, rpc: &Rpc) -> bool {
    rpc.request.name() != "Context" && word(ty).is_some_and(|word| word == "Context")
}

pub(crate) fn is_message(ty: &Type, message: &Message) -> bool {
    let name = message.name();
    !RUNTIME_TYPE_NAMES.contains(&name) && word(ty).is_some_and(|word| word == name)
}

/// Returns the `M` of `Streaming<M>`.
pub(crate) fn streaming(ty: &Type) -> Option<&Type> {
    argument(ty, "Streaming")
}

/// Returns the `T` of `Result<T, …>`.
pub(crate) fn result(ty: &Type) -> Option<&Type> {
    argument(ty, "Result")
}

/// Returns whether the type is `impl ReplyStream<…>` or `impl Stream<…>`.
pub(crate) fn is_impl_stream(ty: &Type) -> bool {
    let Type::ImplTrait(ty) = ungrouped(ty) else {
        return false;
    };
    ty.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "ReplyStream" || last.ident == "Stream"),
        _ => false,
    })
}

pub(crate) fn is_unit(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Returns whether the receiver is `&mut self`.
pub(crate) fn is_exclusive(receiver: &Receiver) -> bool {
    match &*receiver.ty {
        Type::Reference(reference) => reference.mutability.is_some(),
        _ => false,
    }
}

/// Returns whether the receiver is `self`, or a pointer with one owner or for one thread only.
pub(crate) fn is_by_value(receiver: &Receiver) -> bool {
    let Type::Path(ty) = &*receiver.ty else {
        return false;
    };
    ty.path
        .segments
        .last()
        .is_some_and(|last| match last.ident.to_string().as_str() {
            "Self" => true,
            "Box" | "Rc" | "Pin" => matches!(last.arguments, PathArguments::AngleBracketed(_)),
            _ => false,
        })
}

/// Returns whether the receiver is `self: Arc<Self>`.
pub(crate) fn is_arc(receiver: &Receiver) -> bool {
    let Type::Path(ty) = &*receiver.ty else {
        return false;
    };
    receiver.colon_token.is_some()
        && ty
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Arc")
}

pub(crate) fn is_async_trait(attribute: &Attribute) -> bool {
    attribute
        .path()
        .segments
        .last()
        .is_some_and(|last| last.ident == "async_trait")
}

/// Returns whether `#[async_trait]` above `#[service]` has already rewritten the handler.
pub(crate) fn is_rewritten_by_async_trait(handler: &Handler) -> bool {
    handler
        .signature
        .generics
        .params
        .iter()
        .any(|param| match param {
            GenericParam::Lifetime(lifetime) => lifetime.lifetime.ident == "async_trait",
            _ => false,
        })
}

/// Returns whether the type is the request message or a stream of it, whatever the method's kind.
pub(crate) fn is_request(ty: &Type, rpc: &Rpc) -> bool {
    is_message(streaming(ty).unwrap_or(ty), &rpc.request)
}

pub(crate) fn are_swapped(first: &PatType, second: &PatType, rpc: &Rpc) -> bool {
    is_request(&first.ty, rpc) && is_context(&second.ty, rpc)
}

/// Returns whether the type is a stream for a single request, or a message for a stream.
pub(crate) fn has_wrong_streaming(ty: &Type, rpc: &Rpc) -> bool {
    match rpc.kind.streams_requests() {
        true => is_message(ty, &rpc.request),
        false => streaming(ty).is_some_and(|ty| is_message(ty, &rpc.request)),
    }
}

/// Returns whether the type is a reply without `Result`, or the unit type.
pub(crate) fn lacks_result(output: &Type, rpc: &Rpc) -> bool {
    is_unit(output)
        || is_impl_stream(output)
        || is_message(streaming(output).unwrap_or(output), &rpc.reply)
}

/// Returns the stream in a `Result`, if the `.proto` declares a single reply.
pub(crate) fn unexpected_stream<'a>(output: &'a Type, rpc: &Rpc) -> Option<&'a Type> {
    let is_stream = |ty: &&Type| {
        is_impl_stream(ty) || streaming(ty).is_some_and(|ty| is_message(ty, &rpc.reply))
    };
    result(output)
        .filter(is_stream)
        .filter(|_| !rpc.kind.streams_replies())
}

pub(crate) fn is_wrong_output(output: &Type, rpc: &Rpc) -> bool {
    lacks_result(output, rpc) || unexpected_stream(output, rpc).is_some()
}

/// Returns whether a function returns its reply, in contrast to a future of it.
pub(crate) fn is_reply(output: Option<&Type>, rpc: &Rpc) -> bool {
    output.is_none_or(|output| lacks_result(output, rpc) || result(output).is_some())
}

/// Returns whether the function has type or const parameters, or arguments of `impl` types.
pub(crate) fn is_generic(signature: &Signature) -> bool {
    let is_type = |param: &GenericParam| !matches!(param, GenericParam::Lifetime(_));
    signature.generics.params.iter().any(is_type) || signature.inputs.iter().any(is_impl_argument)
}

fn is_impl_argument(input: &FnArg) -> bool {
    matches!(input, FnArg::Typed(argument) if is_impl(&argument.ty))
}

pub(crate) fn is_impl(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::ImplTrait(_))
}

/// Returns the `T` of `Pin<Box<dyn Future<Output = T>>>`.
pub(crate) fn future_output(ty: &Type) -> Option<&Type> {
    match ungrouped(ty) {
        Type::Path(ty) => ty.path.segments.last().and_then(output_argument),
        Type::TraitObject(ty) => ty.bounds.iter().find_map(|bound| match bound {
            TypeParamBound::Trait(bound) => bound.path.segments.last().and_then(output_argument),
            _ => None,
        }),
        _ => None,
    }
}

fn output_argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(binding) if binding.ident == "Output" => Some(&binding.ty),
        GenericArgument::Type(ty) => future_output(ty),
        _ => None,
    })
}

/// Returns the identifier of a type that is a single word without arguments.
fn word(ty: &Type) -> Option<&Ident> {
    segment(ty)
        .filter(|segment| segment.arguments.is_none())
        .map(|segment| &segment.ident)
}

/// Returns the first argument of the generic type `word`.
fn argument<'a>(ty: &'a Type, word: &str) -> Option<&'a Type> {
    let segment = segment(ty).filter(|segment| segment.ident == word)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) => Some(ty),
        _ => None,
    }
}

/// Returns the segment of a path that has only one.
fn segment(ty: &Type) -> Option<&PathSegment> {
    let Type::Path(ty) = ungrouped(ty) else {
        return None;
    };
    let is_single =
        ty.qself.is_none() && ty.path.leading_colon.is_none() && ty.path.segments.len() == 1;
    ty.path.segments.first().filter(|_| is_single)
}

/// Returns the type without parentheses and the invisible groups of `macro_rules!`.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        ty => ty,
    }
}
