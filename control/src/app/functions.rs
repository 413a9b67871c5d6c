//! Functions and their versions.

mod code;

use control_core::{
    Caller, Change, Code, Faults, FullName, FunctionVersionView, FunctionView, Kind, Name, NewFunction,
    Problem, Refusal, Resources,
};

use super::call::named;
use super::{App, Call, Page, Slice, now};
pub(crate) use code::{Archive, Sweeping};

use crate::functions::Functions;

impl App {
    /// Adds a function. What its code is made of is in the store when this returns.
    pub(crate) async fn create_function(
        &self,
        call: Call,
        mut new: NewFunction,
    ) -> Result<FunctionView, Problem> {
        let code = new.code.take().ok_or_else(|| {
            Problem::new(Code::MissingField, "a function has code: {\"zip\": …}, an archive in base64")
                .at("code")
        });
        let mut faults = Faults::default();
        let (code, spec) = (faults.take(code), faults.take(new.validate()));
        let (code, spec) = faults.end(code.zip(spec))?;
        self.refuse_unknown_runtime(&spec.version.runtime)?;
        if let Some(function) = self.repeated(&call, Kind::Function)? {
            return self.look_again(|resources| view_of(resources, &function).ok());
        }
        let archive = Archive::read(code).await?;
        let function = FullName::new(call.tenant(), &spec.name);
        let (tenant, code, created_s) = (function.tenant.clone(), archive.stored().clone(), now().as_secs());
        let change = Change::AddFunction { tenant, spec, code, created_s };
        // Nothing is unpacked for what is refused anyway.
        let view = |resources: &Resources| view_of(resources, &function);
        let foreseen = self.registry().try_out(change.clone(), None, view)?;
        if call.dry_run {
            return Ok(foreseen?);
        }
        self.carry_out(|app| app.deploy_first(call, function, change, archive)).await
    }

    /// A page of a tenant's functions, by name.
    pub(crate) fn functions(&self, caller: &Caller, page: &Page) -> Slice<FunctionView> {
        let revision = self.registry().changes().latest();
        self.read(|resources| {
            let all = resources.functions_of(&caller.tenant, page.after.as_ref());
            page.of(
                revision,
                all,
                |view: &FunctionView| &view.name,
                |function| resources.function_view(function),
            )
        })
    }

    /// One function.
    pub(crate) fn function(&self, caller: &Caller, name: &str) -> Result<FunctionView, Problem> {
        let function = named(&caller.tenant, name, Kind::Function)?;
        Ok(self.read(|resources| view_of(resources, &function))?)
    }

    /// What was asked for when a function was created or last changed, without its code, and its ETag.
    pub(crate) fn asked_function(&self, caller: &Caller, name: &str) -> Result<(NewFunction, u64), Problem> {
        let function = named(&caller.tenant, name, Kind::Function)?;
        self.read(|resources| {
            let asked = resources.function(&function)?.asked.clone();
            Ok((asked, resources.stamp(Kind::Function, &function).asked))
        })
    }

    /// A function's versions that are kept, the oldest first.
    pub(crate) fn function_versions(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Vec<FunctionVersionView>, Problem> {
        let function = named(&caller.tenant, name, Kind::Function)?;
        self.read(|resources| {
            let versions = &resources.function(&function)?.versions;
            Ok(versions.iter().map(|version| version.view()).collect())
        })
    }

    /// Makes a function another, and a version of it if that is made of something else; with other code, if there is any.
    pub(crate) async fn update_function(
        &self,
        call: Call,
        name: &str,
        new: NewFunction,
        archive: Option<Archive>,
    ) -> Result<FunctionView, Problem> {
        let function = call.named(name, Kind::Function)?;
        let spec = new.validate()?;
        if spec.name != function.name {
            let detail = "a function's name cannot be changed; create another function";
            return Err(Problem::new(Code::ImmutableField, detail).at("name"));
        }
        self.refuse_unknown_runtime(&spec.version.runtime)?;
        let (tenant, created_s) = (function.tenant.clone(), now().as_secs());
        let code = archive.as_ref().map(|archive| archive.stored().clone());
        let change = Change::UpdateFunction { tenant, spec, code, created_s };
        let expected = call.request("update_function", Kind::Function, &function, change.clone()).expected;
        let view = |resources: &Resources| view_of(resources, &function);
        let foreseen = self.registry().try_out(change.clone(), expected.as_ref(), view)?;
        if call.dry_run {
            return Ok(foreseen?);
        }
        self.carry_out(|app| app.deploy_again(call, function, change, archive)).await
    }

    /// Removes a function with all of its versions. What runs of it is ended.
    pub(crate) async fn delete_function(&self, call: Call, name: &str) -> Result<(), Problem> {
        let function = call.named(name, Kind::Function)?;
        let change = Change::RemoveFunction(function.clone());
        let request = call.request("delete_function", Kind::Function, &function, change.clone());
        if call.dry_run {
            return Ok(self.registry().try_out(change, request.expected.as_ref(), |_| ())?);
        }
        self.carry_out(|app| async move {
            app.registry().commit(request).await?;
            app.function_changed(&function);
            app.forget_invocations(&function).await;
            app.0.sweeping.ask();
            tracing::info!(%function, "function deleted");
            Ok(())
        })
        .await
    }

    /// Removes a version that is not the latest.
    pub(crate) async fn delete_function_version(
        &self,
        call: Call,
        name: &str,
        number: &str,
    ) -> Result<(), Problem> {
        let function = call.named(name, Kind::Function)?;
        let Ok(number) = number.parse() else {
            self.read(|resources| resources.function(&function).map(drop))?;
            let detail = format!("function {} has no version {number:?}", function.name);
            return Err(Problem::new(Code::NotFound, detail));
        };
        let change = Change::RemoveVersion { function: function.clone(), number };
        let request = call.request("delete_function_version", Kind::Function, &function, change.clone());
        if call.dry_run {
            return Ok(self.registry().try_out(change, request.expected.as_ref(), |_| ())?);
        }
        self.carry_out(move |app| async move {
            app.registry().commit(request).await?;
            app.function_changed(&function);
            app.0.sweeping.ask();
            tracing::info!(%function, version = number, "version deleted");
            Ok(())
        })
        .await
    }

    /// What functions need of the machine.
    pub(super) fn machine(&self) -> Result<&Functions, Problem> {
        self.0.functions.as_ref().ok_or_else(|| {
            let detail = "this daemon serves no functions; its log says why";
            Problem::new(Code::FunctionsUnavailable, detail)
        })
    }

    /// A function was created, changed or deleted: what runs of it may have to end, and what it was made of is another.
    pub(crate) fn function_changed(&self, function: &FullName) {
        if let Some(fleet) = self.fleet() {
            fleet.follow_function(function);
        }
    }

    async fn deploy_first(
        self,
        call: Call,
        function: FullName,
        change: Change,
        archive: Archive,
    ) -> Result<FunctionView, Problem> {
        let request = call.creation("create_function", Kind::Function, &function, change);
        self.deploy(request, &function, Some(archive)).await?;
        let view = self.read(|resources| view_of(resources, &function))?;
        tracing::info!(%function, "function created");
        Ok(view)
    }

    async fn deploy_again(
        self,
        call: Call,
        function: FullName,
        change: Change,
        archive: Option<Archive>,
    ) -> Result<FunctionView, Problem> {
        let request = call.request("update_function", Kind::Function, &function, change);
        self.deploy(request, &function, archive).await?;
        let view = self.read(|resources| view_of(resources, &function))?;
        tracing::info!(%function, version = view.latest.version, "function changed");
        Ok(view)
    }

    /// The code first: a function whose code is not there would be of no use.
    async fn deploy(
        &self,
        request: crate::registry::Request,
        function: &FullName,
        archive: Option<Archive>,
    ) -> Result<(), Problem> {
        if let Some(archive) = archive {
            archive.store(&self.machine()?.code).await?;
        }
        let committed = self.registry().commit(request).await;
        // Of a change that failed the code stays, and of one that did not an old version may have gone.
        self.0.sweeping.ask();
        committed?;
        self.function_changed(function);
        Ok(())
    }

    pub(super) fn refuse_unknown_runtime(&self, runtime: &Name) -> Result<(), Problem> {
        let known = &self.machine()?.runtimes;
        let found = known.iter().find(|(name, _)| name == runtime.as_str());
        let detail = match found {
            Some((_, Ok(()))) => return Ok(()),
            Some((_, Err(why))) => format!("runtime {runtime} cannot be used on this machine: {why}"),
            None => {
                let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
                format!("there is no runtime named {runtime}; choose one of {}", names.join(", "))
            }
        };
        Err(Problem::new(Code::UnknownRuntime, detail).at("runtime"))
    }
}

fn view_of(resources: &Resources, function: &FullName) -> Result<FunctionView, Refusal> {
    Ok(resources.function_view(resources.function(function)?))
}
